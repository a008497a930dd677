"""Batches of events: good ones are stored, bad ones reported, and a failure in the middle loses nothing."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from backchannel.aws import clients as backchannel_aws
from backchannel.sessions.messages import EndMessage
from backchannel.webhooks.batches import MAX_EVENTS
from local.client import Stack, event
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.delivery_function import IMPATIENT, RESET, Fault, FaultyAws, error
from tests.support.deployed import CONTEXT, load
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
        return [start(self.subs[number % len(self.subs)], sid, client_id) for number, sid in enumerate(sids)]

    def sids(self, provider: Provider) -> list[str]:
        """Return the sids of all their RP sessions."""
        return sorted(each["sid"] for sub in self.subs for each in provider.rp_sessions(sub=sub))


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
    assert users.sids(provider) == sorted(sids)
    until(
        lambda: sorted(unverified_part(token, 1)["sid"] for token in rp.tokens),
        holds=lambda told: told == sorted(ended),
        seconds=60,
    )


# --- while AWS fails: the function in this process, its ends in a queue that nobody reads -------------------------------


@dataclass(frozen=True, slots=True)
class Webhook:
    """The function, and its queue of ends."""

    app: ModuleType
    aws: Aws
    queue_url: str
    provider: Provider

    def send(self, body: bytes, event_id: str) -> int:
        key, now = base64.b64decode(self.provider.secret.removeprefix("whsec_")), str(int(time.time()))
        mac = hmac.digest(key, f"{event_id}.{now}.".encode() + body, hashlib.sha256)
        signature = f"v1,{base64.b64encode(mac).decode()}"
        headers = {"webhook-id": event_id, "webhook-timestamp": now, "webhook-signature": signature}
        path = {"provider": self.provider.name, "source": SOURCE}
        answer = self.app.handler({"pathParameters": path, "headers": headers, "body": body.decode()}, CONTEXT)
        status: int = answer["statusCode"]
        return status

    def ended(self) -> set[str]:
        """Return the sids of the ends that are queued."""
        sqs, found = self.aws.client("sqs"), set[str]()
        while messages := sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages", []):
            found |= {str(EndMessage.from_json(each["Body"]).sid) for each in messages}
        return found


@pytest.fixture(scope="module")
def faulty(stack: Stack) -> Iterator[FaultyAws]:
    with FaultyAws(stack.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def webhook(aws: Aws, faulty: FaultyAws, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    sqs, stack = aws.client("sqs"), aws.stack
    url = sqs.create_queue(QueueName=f"test-{secrets.token_hex(6)}", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
    configuration = aws.client("lambda").get_function_configuration(FunctionName=stack.functions["WebhookFunction"])
    environment = {
        **configuration["Environment"]["Variables"],
        "AWS_ENDPOINT_URL": faulty.url,
        "AWS_DEFAULT_REGION": stack.region,
        "SESSION_ENDED_QUEUE_URL": url,
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(backchannel_aws, "CONFIG", backchannel_aws.CONFIG.merge(IMPATIENT))
    yield Webhook(load("webhook"), aws, url, provider)
    sqs.delete_queue(QueueUrl=url)


UNLUCKY = "unlucky"
"""A word in half of the requests."""

WRITES = ("TransactWriteItems", "UpdateItem")


@pytest.mark.parametrize(
    ("operation", "fault", "statuses"),
    [
        (WRITES, error("InternalServerError", 500), [503, 202]),
        (WRITES, RESET, [503, 202]),
        ("TransactWriteItems", error("ProvisionedThroughputExceededException"), [202, 202]),  # then each by itself
        ("BatchGetItem", error("InternalServerError", 500), [503, 202]),
        ("SendMessageBatch", error("InternalServerError", 500), [503, 202]),
    ],
    ids=["all writes", "broken connections", "transactions", "reads", "queue"],
)
def test_while_half_of_the_calls_fail_a_batch_can_be_sent_again_and_loses_nothing(
    webhook: Webhook, faulty: FaultyAws, operation: str | tuple[str, ...], fault: Fault, statuses: list[int]
) -> None:
    users, half = Users(), MAX_EVENTS // 4
    lucky = [new_id("sid") for _ in range(half)]
    unlucky = [f"{UNLUCKY}-{new_id('sid')}" for _ in range(half)]
    ended = [f"{word}{new_id('sid')}" for word in ("", f"{UNLUCKY}-") for _ in range(half)]
    events = users.starts([*lucky, *unlucky]) + [entry("session.ended", sid=sid) for sid in ended]
    assert len(events) == MAX_EVENTS
    body, event_id = batch(*events), secrets.token_hex(8)

    with faulty.fault(operation, fault, UNLUCKY):
        first = webhook.send(body, event_id)
    again = webhook.send(body, event_id)

    assert [first, again] == statuses
    assert users.sids(webhook.provider) == sorted([*lucky, *unlucky])
    assert webhook.ended() == set(ended)
