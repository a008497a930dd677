"""Internal failures lose no delivery and spend no attempt; what they cost at the worst is a second token."""

import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backchannel.deliveries.outcomes import Status
from local import emulator
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.alone import takes_away
from tests.support.aws import Aws
from tests.support.delivery_function import (
    LEASE,
    RESET,
    SETTLE,
    Fault,
    FaultyAws,
    Function,
    delivery_function,
    error,
    side_by_side,
)
from tests.support.deployed import load
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import HANG, Answer, RelyingParty
from tests.support.unspeakable import new_id

pytestmark = [pytest.mark.inside, pytest.mark.filterwarnings("ignore:No application metrics to publish")]

THROTTLED = error("ThrottlingException")
TABLE_THROTTLED = error("ProvisionedThroughputExceededException")
UNAVAILABLE = error("InternalServerError", 500)
REFUSED_ENTRY = {"Successful": [], "Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}


@pytest.fixture(scope="module")
def faulty(stack: Stack) -> Iterator[FaultyAws]:
    with FaultyAws(stack.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def function(aws: Aws, faulty: FaultyAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    with delivery_function(aws, monkeypatch, faulty.url) as function:
        yield function


@dataclass(frozen=True, slots=True)
class Killed:
    """A delivery whose first attempt died with its function, in the middle of the POST."""

    provider: Provider
    logout_id: str
    hanging: RelyingParty
    healthy: RelyingParty


@pytest.fixture(scope="session")
def killed(stack: Stack, aws: Aws) -> Iterator[Killed]:
    """Kill the function in the middle of a batch; what becomes of that takes as long as a lease, so it is looked at last."""
    with RelyingParty(HANG, Answer()) as hanging, RelyingParty() as healthy:
        provider = Provider(stack)
        provider.create()
        sub, sid = new_id("sub"), new_id("sid")
        for rp in (hanging, healthy):
            provider.start(provider.register_client(rp), sub=sub, sid=sid)
        with _visibility(aws, stack.queues["DeliveryQueue"], seconds=3):
            logout = provider.end_session(sid)
            until(lambda: hanging.requests and healthy.requests)
            _kill_delivery_functions(stack)
            until(lambda: aws.messages("RetryQueue", provider.name))
        yield Killed(provider, logout, hanging, healthy)


@contextlib.contextmanager
def _visibility(aws: Aws, queue_url: str, *, seconds: int) -> Iterator[None]:
    """Let what a dead function had in its hands come back sooner than after minutes."""
    sqs, name = aws.client("sqs"), "VisibilityTimeout"
    before = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={name: str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes=before)


def _kill_delivery_functions(stack: Stack) -> None:
    """Kill the execution environments of the delivery function: children of this clone's emulator, in its scratch directory."""
    takes_away("the execution environments of a function")
    running = emulator.running()
    assert running is not None
    mark = f"{emulator.HOME}/ministack/ministack-lambda-{stack.functions['DeliveryFunction']}-"
    children = Path(f"/proc/{running.pid}/task").glob("*/children")
    pids = [int(pid) for each in children for pid in each.read_text().split()]
    found = [pid for pid in pids if mark in Path(f"/proc/{pid}/cmdline").read_text()]
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.quiet
@pytest.mark.usefixtures("killed")
def test_the_function_dies_in_the_middle_of_a_batch(killed: Killed) -> None:
    assert len(killed.hanging.requests) == 1


# --- KMS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [THROTTLED, UNAVAILABLE], ids=["throttled", "unavailable"])
def test_without_kms_nothing_is_sent_and_no_attempt_is_spent(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty, fault: Fault
) -> None:
    rp = relying_party()
    deliveries = [function.queue(provider.name, provider.register_client(rp)) for _ in range(3)]

    with faulty.fault("Sign", fault):
        function.poll_until(lambda: function.waiting("first") == 0)
        during = [function.record(each) for each in deliveries]
    after = [function.settled(each) for each in deliveries]

    assert [(each.status, each.attempts, each.last_code) for each in during] == [(Status.QUEUED, 0, None)] * 3
    assert [(each.status, each.attempts) for each in after] == [(Status.ACCEPTED, 1)] * 3
    assert len(rp.requests) == 3


def test_while_kms_refuses_connections_nothing_is_spent(
    aws: Aws, provider: Provider, relying_party: MakeRelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")

    with delivery_function(aws, monkeypatch) as function:
        delivery = function.queue(provider.name, client_id)
        function.poll("first")
        during = function.record(delivery)
        monkeypatch.delenv("AWS_ENDPOINT_URL_KMS")
        again = dataclasses.replace(function, app=load("delivery"))
        after = again.settled(delivery)
        again.close()

    assert (during.status, during.attempts) == (Status.QUEUED, 0)
    assert (after.status, after.attempts) == (Status.ACCEPTED, 1)
    assert len(rp.requests) == 1


# --- DynamoDB ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [TABLE_THROTTLED, RESET], ids=["throttled", "reset"])
@pytest.mark.parametrize("missing", ["lease", "configuration", "newer logins"])
def test_while_a_table_is_unavailable_nothing_is_sent(
    function: Function, faulty: FaultyAws, provider: Provider, missing: str, fault: Fault
) -> None:
    operation, word = {
        "lease": ("UpdateItem", LEASE),
        "configuration": ("GetItem", provider.stack.tables["ProvidersTable"]),
        "newer logins": ("Query", provider.stack.tables["SessionsTable"]),
    }[missing]
    with RelyingParty() as rp:
        delivery = function.queue(provider.name, provider.register_client(rp, subject="sub_only"))

        with faulty.fault(operation, fault, word):
            function.poll("first")
            during = len(rp.requests), function.record(delivery).attempts
        after = function.settled(delivery)

        assert during == (0, 0)
        assert (after.status, after.attempts) == (Status.ACCEPTED, 1)
        assert len(rp.requests) == 1


def test_an_acceptance_that_cannot_be_recorded_costs_a_second_token_and_counts_once(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    delivery = function.queue(provider.name, provider.register_client(rp))

    with faulty.fault("UpdateItem", TABLE_THROTTLED, SETTLE):
        function.poll("first")
        during = function.record(delivery)
    after = function.settled(delivery)

    assert (during.status, during.attempts) == (Status.QUEUED, 0)
    assert (after.status, after.attempts) == (Status.ACCEPTED, 1)
    first, second = (verified(provider, token).claims for token in rp.tokens)
    assert first["sid"] == second["sid"] == delivery.sid
    assert first["jti"] != second["jti"]


def test_an_acceptance_recorded_without_an_answer_costs_no_second_token(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    delivery = function.queue(provider.name, provider.register_client(rp))

    with faulty.fault("UpdateItem", RESET, SETTLE, carried_out=True):
        function.poll("first")
    after = function.settled(delivery)

    assert (after.status, after.attempts) == (Status.ACCEPTED, 1)
    assert len(rp.requests) == 1


def test_a_circuit_that_cannot_be_read_is_closed(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    delivery = function.queue(provider.name, provider.register_client(rp))

    with faulty.fault("GetItem", TABLE_THROTTLED, provider.stack.tables["CircuitsTable"]):
        after = function.settled(delivery)

    assert (after.status, after.attempts) == (Status.ACCEPTED, 1)


# --- SQS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [error("RequestThrottled"), RESET], ids=["throttled", "reset"])
def test_a_delivery_that_cannot_move_to_the_retry_queue_stays_in_its_queue(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty, fault: Fault
) -> None:
    rp, other = relying_party(Answer(503), Answer(200)), relying_party()
    delivery, beside = (function.queue(provider.name, provider.register_client(each)) for each in (rp, other))

    with faulty.fault("SendMessageBatch", fault):
        function.poll("first")
        during, kept = function.record(delivery), function.waiting("first")
    after = function.settled(delivery)

    assert (during.status, during.attempts, kept) == (Status.RETRYING, 1, 1)
    assert (after.status, after.attempts) == (Status.ACCEPTED, 2)
    assert function.record(beside).status == Status.ACCEPTED
    assert (len(rp.requests), len(other.requests)) == (2, 1)


def test_a_message_that_sqs_does_not_take_out_of_a_batch_is_not_taken_for_sent(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(503), Answer(200))
    delivery = function.queue(provider.name, provider.register_client(rp))

    with faulty.fault("SendMessageBatch", lambda: (200, REFUSED_ENTRY)):
        function.poll("first")
        kept = function.waiting("first"), function.waiting("retry")
    after = function.settled(delivery)

    assert kept == (1, 0)
    assert (after.status, after.attempts) == (Status.ACCEPTED, 2)
    assert len(rp.requests) == 2


def test_a_message_that_sqs_took_without_an_answer_costs_no_second_token(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(503), Answer(200))
    delivery = function.queue(provider.name, provider.register_client(rp))

    with faulty.fault("SendMessageBatch", RESET, carried_out=True):
        function.poll("first")
        kept = function.waiting("first"), function.waiting("retry")
    after = function.settled(delivery)

    assert kept == (1, 1)
    assert (after.status, after.attempts) == (Status.ACCEPTED, 2)
    assert len(rp.requests) == 2


def test_a_delivery_that_cannot_be_given_back_comes_back_when_its_visibility_ends(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(503), Answer(503), Answer(200))
    delivery = function.queue(provider.name, provider.register_client(rp))
    function.poll("first")

    with faulty.fault("ChangeMessageVisibility", error("RequestThrottled")):
        function.poll_until(lambda: len(rp.requests) == 2)
    after = function.settled(delivery)

    assert (after.status, after.attempts) == (Status.ACCEPTED, 3)
    assert len(rp.requests) == 3


def test_without_any_aws_at_all_nothing_is_lost(
    function: Function, faulty: FaultyAws, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    delivery = function.queue(provider.name, provider.register_client(rp))

    with faulty.fault("", RESET):
        function.poll("first")
        kept = function.waiting("first")
    after = function.settled(delivery)

    assert kept == 1
    assert (after.status, after.attempts) == (Status.ACCEPTED, 1)
    assert len(rp.requests) == 1


# --- Messages that come twice, or too early ---------------------------------------------------------------------------


def test_copies_of_a_message_send_one_token(function: Function, provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party(Answer(delay=0.5))
    delivery = function.queue(provider.name, provider.register_client(rp))
    for queue in ("first", "first", "retry"):
        function.send(queue, delivery)

    side_by_side(lambda: function.poll("first"), lambda: function.poll("retry"))
    after = function.settled(delivery)
    function.send("first", delivery)
    function.send("retry", delivery)
    function.settled(delivery)

    assert (after.status, after.attempts) == (Status.ACCEPTED, 1)
    assert function.record(delivery) == after
    assert len(rp.requests) == 1


def test_a_copy_that_comes_before_the_next_attempt_is_due_waits_for_it(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(503, headers={"Retry-After": "2"}), Answer(200))
    delivery = function.queue(provider.name, provider.register_client(rp))
    function.poll("first")

    function.send("first", delivery)
    function.send("retry", delivery)
    after = function.settled(delivery)

    first, second = rp.requests
    assert second.at - first.at >= 1.9
    assert (after.status, after.attempts) == (Status.ACCEPTED, 2)


# --- The client changes while its deliveries wait -----------------------------------------------------------------------


def test_a_client_that_was_removed_while_a_delivery_waited_is_sent_nothing(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    delivery = function.queue(provider.name, client_id)

    status, _ = provider.stack.admin("DELETE", f"{provider.path}/clients/{client_id}")
    after = function.settled(delivery)

    assert status == 204
    assert (after.status, after.last_code, after.attempts) == (Status.UNDELIVERABLE, "client_not_registered", 0)
    assert rp.requests == []


def test_while_a_client_is_paused_its_deliveries_wait_and_go_on_when_it_is_resumed(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, paused=True)
    delivery = function.queue(provider.name, client_id)

    function.poll_until(lambda: function.record(delivery).last_code == "client_paused")
    during = function.record(delivery)
    provider.register_client(rp, client_id)
    after = function.settled(delivery)

    assert (during.status, during.attempts) == (Status.QUEUED, 0)
    assert (after.status, after.attempts) == (Status.ACCEPTED, 1)
    assert len(rp.requests) == 1


def test_a_waiting_delivery_is_signed_as_its_client_wants_it_by_then(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(503), Answer(200))
    client_id = provider.register_client(rp)
    delivery = function.queue(provider.name, client_id)
    function.poll("first")

    provider.register_client(rp, client_id, id_token_signed_response_alg="ES256")
    after = function.settled(delivery)

    before, since = rp.tokens
    assert verified(provider, before, "RS256").header["kid"] != verified(provider, since, "ES256").header["kid"]
    assert (after.status, after.attempts) == (Status.ACCEPTED, 2)


def test_a_waiting_delivery_goes_where_its_client_wants_it_by_then(
    function: Function, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    old, new = relying_party(Answer(503)), relying_party()
    client_id = provider.register_client(old)
    delivery = function.queue(provider.name, client_id)
    function.poll("first")

    provider.register_client(new, client_id)
    after = function.settled(delivery)

    assert (len(old.requests), len(new.requests)) == (1, 1)
    assert (after.status, after.attempts) == (Status.ACCEPTED, 2)


# --- What nobody foresaw ----------------------------------------------------------------------------------------------


def test_what_nobody_foresaw_is_tried_on_and_is_a_dead_letter_before_sqs_forgets_it(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    dynamodb, table = aws.client("dynamodb"), provider.stack.tables["ProvidersTable"]
    keys = {"pk": {"S": f"PROVIDER#{provider.name}"}, "sk": {"S": f"CLIENT#{client_id}"}}
    item = dynamodb.get_item(TableName=table, Key=keys)["Item"]
    odd = json.loads(item["document"]["S"]) | {"exp": "soon"}
    dynamodb.put_item(TableName=table, Item={**item, "document": {"S": json.dumps(odd)}})
    delivery = function.queue(provider.name, client_id)

    for queue in ("first", "retry", "retry"):
        function.poll(queue)
    waiting = function.waiting("first", "retry")
    monkeypatch.setattr("backchannel.deliveries.consumer.DEADLINE_MAX", 0)
    function.poll_until(lambda: function.waiting("first", "retry") == 0)

    assert (waiting, function.waiting("dead")) == (1, 1)
    assert function.record(delivery).attempts == len(rp.requests) == 0


# --- The function itself dies -----------------------------------------------------------------------------------------


@pytest.mark.quiet
@pytest.mark.late
def test_what_a_function_held_when_it_died_is_delivered_once_its_lease_is_over(killed: Killed) -> None:
    deliveries = killed.provider.wait_until(killed.logout_id, "accepted", "accepted", seconds=40)

    assert [each["attempts"] for each in deliveries] == [1, 1]
    assert len(killed.hanging.requests) == 2
    # Whether the healthy one's acceptance was recorded before the function died is a matter of milliseconds.
    assert len(killed.healthy.requests) in {1, 2}
