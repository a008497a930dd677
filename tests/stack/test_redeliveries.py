"""Deliveries sent again: all that failed, in requests that each take a bounded time, whatever becomes of them meanwhile."""

import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.api import redeliveries
from backchannel.api.paging import cursor
from backchannel.api.resolver import app
from backchannel.aws.sqs import Outgoing
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord, PlannedDelivery, Run
from backchannel.deliveries.table import LEASE, STRANDED, CheckedOut, Deliveries
from local.client import Stack
from tests.support.aws import Aws
from tests.support.deployed import CONTEXT
from tests.support.provider import Json
from tests.support.queues import FakeQueue
from tests.support.recorded import all_of_logout

pytestmark = pytest.mark.inside

HOUR = 3_600_000
OPERATOR = "arn:aws:iam::000000000000:user/ops"
ROUTES = ("logout", "client")


@dataclass
class Operator:
    """Asks for redeliveries within this process: over the real table, with a queue that tells what it was given."""

    deliveries: Deliveries
    queue: FakeQueue = field(default_factory=FakeQueue)
    provider: str = field(default_factory=lambda: f"p-{secrets.token_hex(6)}")
    issuer: str = field(default_factory=lambda: f"https://idp.example/{secrets.token_hex(6)}")
    logout: str = field(default_factory=lambda: secrets.token_hex(20))
    since: int = field(default_factory=lambda: milliseconds() - 24 * HOUR)

    def ask(self, route: str, after: str | None = None, **body: object) -> tuple[int, Json]:
        path = f"/logouts/{self.logout}" if route == "logout" else "/clients/wiki"
        event = {
            "httpMethod": "POST",
            "path": f"/providers/{self.provider}{path}/redeliveries",
            "multiValueQueryStringParameters": {} if after is None else {"after": [after]},
            "headers": {"Content-Type": "application/json"},
            "multiValueHeaders": {"Content-Type": ["application/json"]},
            "body": json.dumps(({"since": iso(self.since)} if route == "client" else {}) | body),
            "requestContext": {"stage": "live", "identity": {"userArn": OPERATOR}},
        }
        anything = SimpleNamespace(get=lambda *_: SimpleNamespace(issuer=self.issuer))
        using = SimpleNamespace(providers=anything, logouts=anything, deliveries=self.deliveries, delivery_queue=self.queue)
        app.append_context(dependencies=using)
        answer = app.resolve(event, CONTEXT)  # type: ignore[arg-type]
        return answer["statusCode"], json.loads(answer["body"])

    def ask_until_nothing_is_left(self, route: str) -> list[int]:
        """Follow ``next``; return how many each request queued."""
        counts: list[int] = []
        after = None
        while len(counts) < 50:
            status, answer = self.ask(route, after)
            assert status == 202, answer
            counts.append(answer["queued"])
            if (after := answer["next"]) is None:
                return counts
        raise AssertionError("no end of it")

    def delivered(self, outcome: Outcome | None, *, at: int | None = None, leased: bool = False) -> DeliveryMessage:
        """Record a delivery, and an attempt's outcome if there is one."""
        at = at or milliseconds() - HOUR
        sid = secrets.token_hex(8)
        run = Run(self.provider, self.issuer, self.logout, secrets.token_hex(8), at, whole_session=True)
        assert self.deliveries.record(run, PlannedDelivery("wiki", sid, "ada", None), at)
        message = DeliveryMessage(self.provider, self.logout, "wiki", sid)
        if outcome is not None:
            self.attempted(message, outcome, at)
        if leased:
            assert isinstance(self.deliveries.check_out(message, milliseconds()), CheckedOut)
        return message

    def attempted(self, message: DeliveryMessage, outcome: Outcome, at: int) -> None:
        delivery = self.deliveries.check_out(message, at)
        assert isinstance(delivery, CheckedOut)
        assert self.deliveries.settle(delivery, outcome, at)

    def records(self) -> list[DeliveryRecord]:
        return list(all_of_logout(self.deliveries, self.logout))

    @property
    def sent(self) -> list[str]:
        return [message.body for message in self.queue.sent]


class RejectingAtOnce(FakeQueue):
    """Every delivery that is queued is attempted at once, and rejected again."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self._operator = operator

    def send(self, messages: Iterable[Outgoing]) -> None:
        for message in messages:
            self.sent.append(message)
            self._operator.attempted(DeliveryMessage.from_json(message.body), REJECTED, milliseconds() + 1)


REJECTED = Outcome(Status.REJECTED, "http_403")
ACCEPTED = Outcome(Status.ACCEPTED, "http_200")


def retrying(seconds: int) -> Outcome:
    return Outcome(Status.RETRYING, "http_503", seconds * 1000)


def milliseconds() -> int:
    return round(time.time() * 1000)


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


@pytest.fixture
def operator(aws: Aws, stack: Stack) -> Operator:
    return Operator(Deliveries(aws.client("dynamodb"), stack.tables["DeliveriesTable"]))


@pytest.fixture
def in_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PAGE": 2, "MOST": 4, "MOST_READ": 6}.items():
        monkeypatch.setattr(redeliveries, name, value)


@pytest.fixture
def writes(operator: Operator, stack: Stack) -> list[str]:
    """Return the UpdateItem that the operator makes from now on."""
    made: list[str] = []
    dynamodb = Aws(stack).client("dynamodb")  # of this test alone
    dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", lambda model, **_: made.append(model.name))
    operator.deliveries = Deliveries(dynamodb, stack.tables["DeliveriesTable"])
    return made


@pytest.mark.usefixtures("in_small_pages")
@pytest.mark.parametrize("route", ROUTES)
def test_all_is_sent_again_once_though_it_fails_again_at_once(operator: Operator, route: str) -> None:
    expected = {operator.delivered(REJECTED).to_json() for _ in range(11)}
    operator.queue = RejectingAtOnce(operator)

    counts = operator.ask_until_nothing_is_left(route)

    assert max(counts) <= 4
    assert sum(counts) == len(operator.sent) == 11
    assert set(operator.sent) == expected


@pytest.mark.usefixtures("in_small_pages")
@pytest.mark.parametrize("route", ROUTES)
def test_however_many_are_accepted_a_request_reads_a_few_and_the_next_goes_on(
    operator: Operator, route: str, writes: list[str]
) -> None:
    for _ in range(6):
        operator.delivered(ACCEPTED)
        operator.delivered(retrying(2 * 3600))
    rejected = [operator.delivered(REJECTED).to_json() for _ in range(2)]
    writes.clear()

    counts = operator.ask_until_nothing_is_left(route)

    assert len(counts) >= (3 if route == "logout" else 2)
    assert sorted(operator.sent) == sorted(rejected)
    assert len(writes) == 2


@pytest.mark.parametrize("route", ROUTES)
def test_a_request_that_takes_long_is_answered_after_a_page(
    operator: Operator, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redeliveries, "PAGE", 2)
    monkeypatch.setattr(redeliveries, "LONGEST", -1)
    for _ in range(5):
        operator.delivered(REJECTED)

    counts = operator.ask_until_nothing_is_left(route)

    assert [count for count in counts if count] == [2, 2, 1]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("outcome", [None, retrying(60)], ids=["queued", "retrying"])
def test_a_delivery_that_lost_its_message_is_sent_again(operator: Operator, route: str, outcome: Outcome | None) -> None:
    message = operator.delivered(outcome)

    _, answer = operator.ask(route)
    _, repeated = operator.ask(route)

    assert operator.sent == [message.to_json()]
    assert (answer["queued"], repeated["queued"]) == (1, 0)
    assert [(record.status, record.attempts) for record in operator.records()] == [(Status.QUEUED, 0)]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "deliver",
    [
        lambda operator: operator.delivered(None, at=milliseconds() - STRANDED + 20_000),
        lambda operator: operator.delivered(retrying(HOUR // 1000 - STRANDED // 1000 + 20)),
        lambda operator: operator.delivered(None, leased=True),
        lambda operator: operator.delivered(retrying(60), leased=True),
    ],
    ids=["queued lately", "due lately", "first attempt", "attempt"],
)
def test_a_delivery_that_may_have_its_message_is_left_alone(
    operator: Operator, route: str, deliver: Callable[[Operator], object]
) -> None:
    deliver(operator)
    before = operator.records()

    _, answer = operator.ask(route)

    assert (answer["queued"], answer["next"]) == (0, None)
    assert answer["skipped"].keys() <= {"waiting", "in_progress"}
    assert operator.records() == before


def test_a_delivery_whose_attempt_died_is_sent_again_when_the_lease_is_over(operator: Operator) -> None:
    message = operator.delivered(None)
    assert isinstance(operator.deliveries.check_out(message, milliseconds() - LEASE - 1000), CheckedOut)

    operator.ask("logout")

    assert operator.sent == [message.to_json()]


@pytest.mark.parametrize("route", ROUTES)
def test_what_was_begun_anew_but_not_queued_is_found_by_a_later_request(
    operator: Operator, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {operator.delivered(REJECTED).to_json() for _ in range(12)}
    operator.queue.broken = True

    status, answer = operator.ask(route)

    assert (status, answer["code"]) == (503, "queue_unavailable")
    assert sum(record.status is Status.QUEUED for record in operator.records()) == 10
    operator.queue.broken = False
    monkeypatch.setattr(redeliveries, "now", lambda: milliseconds() + STRANDED + 1000)
    operator.ask_until_nothing_is_left(route)
    assert set(operator.sent) == expected
    assert len(operator.sent) == 12


def test_what_is_begun_anew_is_queued_in_tens(operator: Operator) -> None:
    for _ in range(25):
        operator.delivered(REJECTED)
    batches: list[int] = []
    operator.queue.send = lambda messages: batches.append(len(list(messages)))  # type: ignore[method-assign]

    operator.ask("logout")

    assert batches == [10, 10, 5]


def test_an_update_that_is_repeated_because_its_answer_was_lost_counts_as_done(operator: Operator) -> None:
    operator.delivered(REJECTED)
    (record,) = operator.records()
    now = milliseconds()

    once, again, another = (operator.deliveries.reopen(record, at) for at in (now, now, now + 1))

    assert (once, again, another) == (True, True, False)


def test_two_operators_who_hasten_a_delivery_at_once_queue_one_message(operator: Operator) -> None:
    operator.delivered(retrying(2 * 3600))
    [record] = operator.records()
    now = milliseconds()
    assert [operator.deliveries.hasten(record, at) for at in (now, now + 1)] == [True, False]


def test_a_client_s_range_ends_when_the_first_request_was_made(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redeliveries, "LONGEST", -1)
    operator.delivered(REJECTED)
    _, first = operator.ask("client", until="9999-01-01T00:00:00Z")
    later = milliseconds() + 60_000
    operator.delivered(Outcome(Status.BLOCKED, "tls_failed"), at=later)
    monkeypatch.setattr(redeliveries, "now", lambda: later + 1000)

    after, queued = first["next"], 0
    while after is not None:
        _, answer = operator.ask("client", after, until="9999-01-01T00:00:00Z")
        after, queued = answer["next"], queued + answer["queued"]

    assert (first["queued"], queued) == (1, 0)


@pytest.mark.usefixtures("in_small_pages")
def test_who_goes_on_names_the_same_range(operator: Operator) -> None:
    for _ in range(11):
        operator.delivered(REJECTED)
    _, first = operator.ask("client")
    _, of_logout = operator.ask("logout")

    for route, after, body in (
        ("client", first["next"], {"since": iso(operator.since + 1)}),
        ("client", first["next"], {"until": iso(operator.since + HOUR)}),
        ("client", of_logout["next"], {}),
        ("logout", first["next"], {}),
    ):
        status, answer = operator.ask(route, after, **body)
        assert (status, answer["code"]) == (400, "malformed_request")


PLACES: list[Any] = [
    "RP#wiki",
    {},
    {"until": "now", "status": "rejected", "after": None},
    {"until": 2**60, "status": "rejected", "after": None},
    {"until": -1, "status": "rejected", "after": None},
    {"until": 1, "status": "accepted", "after": None},
    {"until": 1, "status": "rejected"},
    {"until": 1, "status": "rejected", "after": {"pk": "a"}},
    {"until": 1, "status": "rejected", "after": {"pk": "a", "sk": "b", "status_changed": "rejected#0000000000002"}},
]


@pytest.mark.parametrize("place", PLACES, ids=json.dumps)
def test_a_cursor_that_was_edited_is_refused(operator: Operator, place: object) -> None:
    since = datetime.fromtimestamp(operator.since / 1000, UTC)
    after = cursor(place, f"redeliveries/{operator.provider}/wiki/{since}/None/False/None")

    status, answer = operator.ask("client", after)

    assert (status, answer["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("1960-01-01T00:00:00Z", "1965-01-01T00:00:00Z"),
        ("1960-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.9999999-23:59", None),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(operator: Operator, since: str, until: str | None) -> None:
    status, answer = operator.ask("client", since=since, until=until)

    assert (status, answer["code"]) == (400, "malformed_request")
