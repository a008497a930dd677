"""Batches of events: good ones are stored, bad ones reported, and a failure in the middle loses nothing.

A large one is handed on to `source_events`, so that its sender need not wait.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from backchannel.api import source_events
from backchannel.api.source_intake import DIRECT
from backchannel.aws import clients as backchannel_aws
from backchannel.sessions.messages import EndMessage
from backchannel.webhooks.batches import MAX_EVENTS
from local.client import Stack, event
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.delivery_function import IMPATIENT, RESET, Fault, FaultyAws, error
from tests.support.deployed import CONTEXT, load, sqs_event
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider
from tests.support.signing import unverified_part
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")


def entry(kind: str, **data: Any) -> Json:
    return {"id": secrets.token_hex(8), **event(kind, **data)}


def start(sub: str, sid: str, client_id: str = "wiki") -> Json:
    return entry("rp_session.started", sub=sub, sid=sid, client_id=client_id)


def batch(*events: object) -> bytes:
    return json.dumps({"events": events}).encode()


class Users:
    """Some users with many sessions, few enough to list them by."""

    def __init__(self) -> None:
        self.subs = [new_id("sub") for _ in range(MAX_EVENTS // 50)]

    def starts(self, sids: Sequence[str], client_id: str = "wiki") -> list[Json]:
        return [start(self.of(number), sid, client_id) for number, sid in enumerate(sids)]

    def of(self, number: int) -> str:
        return self.subs[number % len(self.subs)]

    def sids(self, provider: Provider) -> list[str]:
        """Return the sids of all their RP sessions."""
        return self._of_sessions(provider, "sid")

    def client_ids(self, provider: Provider) -> list[str]:
        """Return the clients of all their RP sessions."""
        return self._of_sessions(provider, "client_id")

    def _of_sessions(self, provider: Provider, name: str) -> list[str]:
        return sorted(each[name] for sub in self.subs for each in provider.rp_sessions(sub=sub))


def test_a_bad_entry_keeps_no_other_out(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    told, untold, late = new_id("sid"), new_id("sid"), new_id("sid")
    ada = new_id("sub")

    provider.end_session(late)  # before its start, which is in the batch
    aws.wait_until_handled(provider.name)
    response = provider.signed(
        batch(
            start(ada, told, client_id),
            start("", untold, client_id),
            "no event",
            start(ada, untold, client_id),
            {**start(ada, late, client_id), "timestamp": "2026-01-01T00:00:00Z"},
            entry("session.ended", sid=told),
            entry("invoice.paid"),
            {**entry("session.ended", sid=untold), "id": None},
        )
    )
    aws.wait_until_handled(provider.name)

    assert response.status == 202
    assert response.body == {
        "started": 3,
        "ended": 2,  # that of the late start, too
        "ignored": 1,
        "refused": [
            {"index": 1, "code": "identifier_invalid"},
            {"index": 2, "code": "malformed_request"},
            {"index": 7, "code": "identifier_invalid"},
        ],
    }
    until(
        lambda: sorted(unverified_part(token, 1)["sid"] for token in rp.tokens), holds=lambda sids: sids == sorted([told, late])
    )


def test_a_preview_of_a_batch_shows_what_would_be_refused(provider: Provider) -> None:
    shown = provider.post(f"/sources/{SOURCE}/preview", {"payload": {"events": [start("ada", "s1"), start("", "s2")]}})

    assert [each["sid"] for each in shown["events"]] == ["s1"]
    assert shown["refused"] == [{"index": 1, "code": "identifier_invalid"}]


def test_a_batch_of_more_than_a_thousand_events_is_refused_as_a_whole(shared_provider: Provider) -> None:
    response = shared_provider.signed(batch(*({} for _ in range(MAX_EVENTS + 1))))

    assert (response.status, response.body["code"]) == (413, "payload_too_large")


def test_a_thousand_events_are_answered_in_time_and_none_is_lost(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp, users = relying_party(), Users()
    client_id = provider.register_client(rp)
    sids = [new_id("sid") for _ in range(MAX_EVENTS - 3)]
    ended = sids[:3]
    events = [*users.starts(sids, client_id), *(entry("session.ended", sid=sid) for sid in ended)]
    assert len(events) == MAX_EVENTS

    response = provider.signed(batch(*events))

    assert (response.status, response.body) == (202, {"started": len(sids), "ended": len(ended), "ignored": 0})
    until(lambda: users.sids(provider), holds=lambda stored: stored == sorted(sids), seconds=60)
    until(
        lambda: sorted(unverified_part(token, 1)["sid"] for token in rp.tokens),
        holds=lambda told: told == sorted(ended),
        seconds=60,
    )


def test_a_large_batch_is_counted_once_and_so_is_the_end_of_a_start_that_came_late(provider: Provider, aws: Aws) -> None:
    late, sids = new_id("sid"), [new_id("sid") for _ in range(DIRECT)]
    provider.end_session(late)
    aws.wait_until_handled(provider.name)

    provider.signed(batch(*Users().starts(sids), {**start("ada", late), "timestamp": "2026-01-01T00:00:00Z"}, entry("paid")))

    counts = {"started": DIRECT + 1, "ended": 2, "ignored": 1}
    until(
        lambda: provider.get(f"/sources/{SOURCE}")["activity"]["counts"],
        holds=lambda shown: {name: shown[name] for name in counts} == counts,
    )


# --- while AWS fails: the functions in this process, their ends in a queue that nobody reads ----------------------------


@dataclass(frozen=True, slots=True)
class Batches:
    """`webhook`, `source_events`, and their queues."""

    webhook: ModuleType
    source_events: ModuleType
    aws: Aws
    urls: dict[str, str]
    provider: Provider

    def send(self, body: bytes, event_id: str) -> int:
        key, now = base64.b64decode(self.provider.secret.removeprefix("whsec_")), str(int(time.time()))
        mac = hmac.digest(key, f"{event_id}.{now}.".encode() + body, hashlib.sha256)
        signature = f"v1,{base64.b64encode(mac).decode()}"
        headers = {"webhook-id": event_id, "webhook-timestamp": now, "webhook-signature": signature}
        return self.post(SOURCE, body, headers)

    def post(self, source: str, body: bytes, headers: dict[str, str]) -> int:
        path = {"provider": self.provider.name, "source": source}
        answer = self.webhook.handler({"pathParameters": path, "headers": headers, "body": body.decode()}, CONTEXT)
        status: int = answer["statusCode"]
        return status

    def take_in(self) -> tuple[int, int]:
        """Feed `source_events` what its queue holds; return how many messages it has taken, and how many are to come again."""
        taken = 0
        left: list[str] = []
        url = self.urls["SOURCE_EVENTS_QUEUE_URL"]
        while received := self._receive(url):
            by_id = {each["MessageId"]: each["ReceiptHandle"] for each in received}
            event = sqs_event("source_events", [each["Body"] for each in received])
            for record, message in zip(event["Records"], received, strict=True):
                record |= {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"]}
            failures = self.source_events.handler(event, CONTEXT)["batchItemFailures"]
            failed = {each["itemIdentifier"] for each in failures}
            left += [by_id[each] for each in failed]
            for each in by_id.keys() - failed:
                taken += 1
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=by_id[each])
        for handle in left:
            self._sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        return taken, len(left)

    def ended(self) -> set[str]:
        """Return whose ends are queued: the sids, or the subs where there is none."""
        found = set[str]()
        while messages := self._receive(self.urls["SESSION_ENDED_QUEUE_URL"]):
            ends = [EndMessage.from_json(each["Body"]) for each in messages]
            found |= {str(each.sid or each.sub) for each in ends}
        return found

    def _receive(self, url: str) -> list[Any]:
        messages: list[Any] = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return messages

    @property
    def _sqs(self) -> Any:
        return self.aws.client("sqs")


@pytest.fixture(scope="module")
def faulty(stack: Stack) -> Iterator[FaultyAws]:
    with FaultyAws(stack.endpoint_url) as proxy:
        yield proxy


QUEUES = ("SESSION_ENDED_QUEUE_URL", "SOURCE_EVENTS_QUEUE_URL", "SOURCE_EVENTS_DEAD_LETTER_QUEUE_URL")


@pytest.fixture
def batches(aws: Aws, faulty: FaultyAws, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batches]:
    sqs, stack = aws.client("sqs"), aws.stack
    attributes = {"VisibilityTimeout": "600"}
    urls = {
        each: sqs.create_queue(QueueName=f"test-{secrets.token_hex(6)}", Attributes=attributes)["QueueUrl"] for each in QUEUES
    }
    environment = {"AWS_ENDPOINT_URL": faulty.url, "AWS_DEFAULT_REGION": stack.region}
    for function in ("WebhookFunction", "SourceEventsFunction"):
        configuration = aws.client("lambda").get_function_configuration(FunctionName=stack.functions[function])
        environment = {**configuration["Environment"]["Variables"], **environment}
    for variable, value in {**environment, **urls}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(backchannel_aws, "CONFIG", backchannel_aws.CONFIG.merge(IMPATIENT))
    monkeypatch.setattr(source_events, "backoff", lambda *_: 600_000)
    yield Batches(load("webhook"), load("source_events"), aws, urls, provider)
    for url in urls.values():
        sqs.delete_queue(QueueUrl=url)


UNLUCKY = "unlucky"
"""A word in half of the requests."""

WRITES = ("TransactWriteItems", "UpdateItem")


@dataclass(frozen=True, slots=True)
class Half:
    """A batch, half of whose events are unlucky."""

    users: Users
    started: list[str]
    ended: list[str]

    @classmethod
    def of_a_thousand(cls) -> "Half":
        quarter = MAX_EVENTS // 4
        started, ended = ([f"{word}{new_id('sid')}" for word in ("", f"{UNLUCKY}-") for _ in range(quarter)] for _ in range(2))
        return cls(Users(), started, ended)

    @property
    def body(self) -> bytes:
        events = self.users.starts(self.started) + [entry("session.ended", sid=sid) for sid in self.ended]
        assert len(events) == MAX_EVENTS
        return batch(*events)


@pytest.mark.inside
@pytest.mark.parametrize(
    ("operation", "fault", "are_left"),
    [
        (WRITES, error("InternalServerError", 500), True),
        (WRITES, RESET, True),
        ("TransactWriteItems", error("ProvisionedThroughputExceededException"), False),  # then each by itself
        ("BatchGetItem", error("InternalServerError", 500), True),
        ("SendMessageBatch", error("InternalServerError", 500), True),
    ],
    ids=["all writes", "broken connections", "transactions", "reads", "queue"],
)
def test_while_half_of_a_large_batch_cannot_be_stored_it_is_tried_again_and_nothing_is_lost(
    batches: Batches, faulty: FaultyAws, operation: str | tuple[str, ...], fault: Fault, *, are_left: bool
) -> None:
    half = Half.of_a_thousand()

    status = batches.send(half.body, secrets.token_hex(8))
    with faulty.fault(operation, fault, UNLUCKY):
        taken, left = batches.take_in()
    again = batches.take_in()

    assert status == 202
    assert taken > 0
    assert bool(left) == are_left
    assert again == (left, 0)
    assert half.users.sids(batches.provider) == sorted(half.started)
    assert batches.ended() == set(half.ended)


@pytest.mark.inside
@pytest.mark.parametrize("fault", [error("InternalServerError", 500), RESET], ids=["refused", "broken connections"])
def test_a_large_batch_that_cannot_be_handed_on_can_be_sent_again_and_loses_nothing(
    batches: Batches, faulty: FaultyAws, fault: Fault
) -> None:
    half, event_id = Half.of_a_thousand(), secrets.token_hex(8)

    with faulty.fault("SendMessageBatch", fault, UNLUCKY):
        first = batches.send(half.body, event_id)
    again = batches.send(half.body, event_id)
    batches.take_in()

    assert [first, again] == [503, 202]
    assert half.users.sids(batches.provider) == sorted(half.started)
    assert batches.ended() == set(half.ended)


# --- the batches of those who wait three seconds, and those who send each batch three times ---------------------------


def okta(users: Users, started: Sequence[str], ended: Sequence[str]) -> bytes:
    """Return logins of some users at many clients, and many users who were deactivated."""

    def logged(kind: str, user: str, *others: Json) -> Json:
        targets = [{"type": "User", "id": user}, *others]
        found = {"uuid": secrets.token_hex(8), "published": iso_now(), "eventType": kind, "target": targets}
        return {**found, "outcome": {"result": "SUCCESS"}, "actor": {"type": "User", "id": "administrator"}}

    starts = [
        logged("user.authentication.sso", users.of(number), {"type": "AppInstance", "id": client})
        for number, client in enumerate(started)
    ]
    return json.dumps({"data": {"events": starts + [logged("user.lifecycle.deactivate", user) for user in ended]}}).encode()


def auth0(users: Users, started: Sequence[str], ended: Sequence[str]) -> bytes:
    """Return logins of some users at many clients, and many users who were deleted, as JSON lines."""

    def logged(kind: str, user: str, **members: Any) -> str:
        log_id = secrets.token_hex(8)
        data = {"date": iso_now(), "type": kind, "user_id": user, "log_id": log_id, "details": {}, **members}
        return json.dumps({"log_id": log_id, "data": data})

    starts = [logged("s", users.of(number), client_id=client) for number, client in enumerate(started)]
    return "\n".join(starts + [logged("sdu", user) for user in ended]).encode()


def iso_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@pytest.mark.inside
@pytest.mark.parametrize("product", [okta, auth0], ids=["okta", "auth0"])
def test_while_half_of_a_products_thousand_events_cannot_be_stored_it_is_answered_and_nothing_is_lost(
    batches: Batches, faulty: FaultyAws, product: Callable[[Users, Sequence[str], Sequence[str]], bytes]
) -> None:
    users, secret, half = Users(), f"Bearer {secrets.token_urlsafe(24)}", MAX_EVENTS // 4
    started, ended = ([f"{word}{new_id('id')}" for word in ("", f"{UNLUCKY}-") for _ in range(half)] for _ in range(2))
    batches.provider.put_source(product.__name__, format=product.__name__, secret=secret)
    body = product(users, started, ended)

    status = batches.post(product.__name__, body, {"Authorization": secret})
    with faulty.fault(WRITES, error("InternalServerError", 500), UNLUCKY):
        taken, left = batches.take_in()
    again = batches.take_in()

    assert status == 200
    assert taken > 0
    assert left > 0
    assert again == (left, 0)
    assert users.client_ids(batches.provider) == sorted(started)
    assert batches.ended() == {*ended}


# --- while a permission is missing: the deployed functions ---------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize(
    ("action", "resource"), [("dynamodb:UpdateItem", "Sessions"), ("sqs:SendMessage*", "SessionEnded")], ids=["starts", "ends"]
)
def test_without_a_permission_a_large_batch_waits_and_is_stored_once_it_is_there(
    provider: Provider, aws: Aws, action: str, resource: str
) -> None:
    began, users = time.time(), Users()
    sids, ended = [new_id("sid") for _ in range(60)], [new_id("sid") for _ in range(60)]
    events = users.starts(sids) + [entry("session.ended", sid=sid) for sid in ended]

    with aws.without("SourceEventsRole", action, resource):
        response = provider.signed(batch(*events))
        aws.wait_until_put_off(began)
        stored = users.sids(provider)

    assert (response.status, response.body) == (202, {"started": 60, "ended": 60, "ignored": 0})
    assert stored == [] or resource == "SessionEnded"
    until(lambda: users.sids(provider), holds=lambda found: found == sorted(sids), seconds=60)
    logouts = [provider.logout_of_session(sid) for sid in ended]
    until(lambda: [each for each in logouts if not is_fanned_out(provider, each)], holds=lambda left: left == [], seconds=60)
    assert aws.messages("SourceEventsDeadLetterQueue", provider.name) == []


def is_fanned_out(provider: Provider, logout: str) -> bool:
    status, answer = provider.stack.admin("GET", f"{provider.path}/logouts/{logout}")
    return status == 200 and answer["fanned_out"] is True
