"""A client that keeps failing is left alone until a probe succeeds; its deliveries wait, and no attempt of theirs is spent."""

from collections.abc import Iterator

import pytest
from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig

from backchannel.deliveries import circuits
from backchannel.deliveries.circuits import FAILURES, Circuit
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Status
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws, Json
from tests.support.delivery_function import FaultyAws, Function, delivery_function, error
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id

pytestmark = [pytest.mark.inside, pytest.mark.filterwarnings("ignore:No application metrics to publish")]

DOWN = [Answer(503)] * FAILURES
RECOVERY = 2
CLOSED = Circuit("closed", None)


def config(recovery: int) -> CircuitBreakerConfig:
    """Return the configuration in earnest, but for its times."""
    return CircuitBreakerConfig(
        failure_threshold=FAILURES,
        recovery_timeout=recovery,
        success_threshold=1,
        handled_exceptions=circuits._FailingError,
        local_cache_max_age=0,
    )


@pytest.fixture(scope="module")
def faulty(stack: Stack) -> Iterator[FaultyAws]:
    with FaultyAws(stack.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def function(aws: Aws, faulty: FaultyAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    monkeypatch.setattr(circuits, "_CONFIG", config(RECOVERY))
    with delivery_function(aws, monkeypatch, faulty.url) as function:
        yield function


def circuit(function: Function, provider: Provider, client_id: str) -> Circuit:
    """Return the circuit as it is now; the operator may see it some seconds later."""
    found: Circuit = function.app.worker.circuits.get(provider.name, client_id)
    return found


def queue(function: Function, provider: Provider, client_id: str, count: int) -> list[DeliveryMessage]:
    return [function.queue(provider.name, client_id) for _ in range(count)]


def fail(function: Function, provider: Provider, client_id: str) -> list[DeliveryMessage]:
    """Let the client fail often enough for its circuit to open; return the deliveries that it failed."""
    failed = queue(function, provider, client_id, FAILURES)
    function.drain("first")
    assert circuit(function, provider, client_id).state == "open"
    return failed


def test_failures_in_a_row_open_the_circuit_and_deliveries_wait_without_an_attempt(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "_CONFIG", config(60))
    rp = relying_party(Answer(503))
    client_id = provider.register_client(rp)

    queue(function, provider, client_id, FAILURES - 1)
    function.drain("first")
    before = circuit(function, provider, client_id)
    queue(function, provider, client_id, 1)
    function.drain("first")
    after = circuit(function, provider, client_id)
    waiting = queue(function, provider, client_id, 3)
    function.drain("first")

    assert before == CLOSED
    assert (after.state, after.opened_at is not None) == ("open", True)
    found = [function.record(each) for each in waiting]
    assert [(each.status, each.last_code, each.attempts) for each in found] == [(Status.QUEUED, "circuit_open", 0)] * 3
    assert len(rp.requests) == FAILURES


def test_after_a_while_one_delivery_is_let_through_and_its_success_closes_the_circuit(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(*DOWN, Answer(delay=0.5), Answer())
    client_id = provider.register_client(rp)
    deliveries = [*fail(function, provider, client_id), *queue(function, provider, client_id, 4)]

    function.poll_until(lambda: function.waiting("first", "retry") == 0)

    probe, next_one = (each.at for each in rp.requests[FAILURES : FAILURES + 2])
    assert next_one - probe >= 0.5
    assert [function.record(each).status for each in deliveries] == [Status.ACCEPTED] * 9
    assert sorted(function.record(each).attempts for each in deliveries) == [1] * 4 + [2] * FAILURES
    assert len(rp.requests) == 2 * FAILURES + 4
    assert circuit(function, provider, client_id) == CLOSED


def test_a_probe_that_fails_opens_the_circuit_again(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(*DOWN, Answer(503), Answer())
    client_id = provider.register_client(rp)
    deliveries = [*fail(function, provider, client_id), *queue(function, provider, client_id, 4)]

    function.poll_until(lambda: function.waiting("first", "retry") == 0)

    probe, next_one = (each.at for each in rp.requests[FAILURES : FAILURES + 2])
    assert next_one - probe >= RECOVERY - 1  # it counts whole seconds
    assert [function.record(each).status for each in deliveries] == [Status.ACCEPTED] * 9
    assert sum(function.record(each).attempts for each in deliveries) == len(rp.requests) == 2 * FAILURES + 5


@pytest.mark.parametrize("status", [302, 400, 404])
def test_a_client_that_answers_has_no_circuit_open(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, status: int
) -> None:
    rp = relying_party(Answer(status))
    client_id = provider.register_client(rp)

    queue(function, provider, client_id, 2 * FAILURES)
    function.poll_until(lambda: len(rp.requests) >= 2 * FAILURES)

    assert circuit(function, provider, client_id).state == "closed"


def test_a_success_between_failures_keeps_the_circuit_closed(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    nearly = DOWN[1:]
    rp = relying_party(*nearly, Answer(), *nearly, Answer())
    client_id = provider.register_client(rp)

    for count in (len(nearly), 1, len(nearly)):
        queue(function, provider, client_id, count)
        function.drain("first")

    assert circuit(function, provider, client_id).state == "closed"


def test_the_circuits_of_two_clients_have_nothing_to_do_with_each_other(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    down, up = relying_party(Answer(503)), relying_party()
    down_id, up_id = provider.register_client(down), provider.register_client(up)
    fail(function, provider, down_id)

    deliveries = queue(function, provider, up_id, 3)
    function.drain("first")

    assert [function.record(each).status for each in deliveries] == [Status.ACCEPTED] * 3
    assert circuit(function, provider, up_id).state == "closed"


def test_an_internal_failure_while_probing_says_nothing_about_the_client(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(*DOWN, Answer())
    client_id = provider.register_client(rp)
    deliveries = fail(function, provider, client_id)

    with faulty.fault("Sign", error("ThrottlingException")):
        function.poll_until(lambda: circuit(function, provider, client_id).state == "half_open")
    posted = len(rp.requests)
    function.poll_until(lambda: function.waiting("first", "retry") == 0)

    assert posted == FAILURES
    assert [(each.status, each.attempts) for each in map(function.record, deliveries)] == [(Status.ACCEPTED, 2)] * FAILURES
    assert circuit(function, provider, client_id).state == "closed"


def test_a_probe_that_cannot_be_claimed_is_an_internal_failure_and_fails_no_batch(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp, other = relying_party(*DOWN, Answer()), relying_party()
    client_id, other_id = provider.register_client(rp), provider.register_client(other)
    deliveries = fail(function, provider, client_id)

    with faulty.fault("PutItem", error("ProvisionedThroughputExceededException")) as fault:
        function.poll_until(lambda: fault.met)
    beside = queue(function, provider, other_id, 1)
    function.poll_until(lambda: function.waiting("first", "retry") == 0)

    assert [(each.status, each.attempts) for each in map(function.record, deliveries)] == [(Status.ACCEPTED, 2)] * FAILURES
    assert function.record(*beside).status == Status.ACCEPTED


def test_the_deployed_service_leaves_a_failing_client_alone_and_counts_every_attempt(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(503))
    client_id = provider.register_client(rp, backchannel_logout_session_required=True)
    sub = new_id("sub")
    for _ in range(12):
        provider.start(client_id, sub=sub, sid=new_id("sid"))

    logout = provider.end_subject(sub)
    until(lambda: provider.get(f"/clients/{client_id}")["circuit"]["state"], holds=lambda state: state == "open")
    left_alone: set[str] = set()

    def are_left_alone(deliveries: list[Json]) -> bool:
        left_alone.update(each["sid"] for each in deliveries if each["last_code"] == "circuit_open")
        return len(left_alone) >= 12 - probes

    patience = 90  # one that failed twice comes back after 30 s
    probes = patience // (circuits.RECOVERY // 1000)
    deliveries = provider.wait_for(logout, are_left_alone, seconds=patience)

    assert {each["status"] for each in deliveries} <= {"queued", "retrying"}
    until(
        lambda: (sum(each["attempts"] for each in provider.deliveries(logout)), len(rp.requests)),
        holds=lambda counted: counted[0] == counted[1],
    )
