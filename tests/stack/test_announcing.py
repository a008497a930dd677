"""What is final is announced, also if the function dies or SQS fails on the way; nothing else waits for it."""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig

from backchannel.announcements.details import Announcement
from backchannel.aws.sqs import Queue
from backchannel.deliveries import circuits
from backchannel.deliveries.announcer import Announcer
from backchannel.deliveries.circuits import FAILURES
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import PlannedDelivery, Run
from backchannel.deliveries.table import Deliveries
from backchannel.logouts.fan_out import FanOut
from backchannel.logouts.table import Logouts
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Providers
from backchannel.sessions.events import SessionEnded
from backchannel.sessions.intake import end_message
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.delivery_function import FaultyAws, Function, delivery_function, error, side_by_side
from tests.support.deployed import CONTEXT
from tests.support.dying import Died, Mortal
from tests.support.provider import Provider
from tests.support.queues import FakeQueue
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id

pytestmark = [pytest.mark.inside, pytest.mark.filterwarnings("ignore:No application metrics to publish")]

type Json = dict[str, Any]


@dataclass
class Announced:
    """EventsOutQueue, in which nobody receives but the test."""

    sqs: Any
    url: str

    def take(self) -> list[tuple[str, Json]]:
        """Return kind and detail of what is in the queue, and delete it."""
        found = []
        while received := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", []):
            for each in received:
                message = Announcement.from_json(each["Body"])
                found.append((message.detail_type, json.loads(message.detail)))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=each["ReceiptHandle"])
        return found


@pytest.fixture(scope="module")
def faulty(stack: Stack) -> Iterator[FaultyAws]:
    with FaultyAws(stack.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def announced(aws: Aws) -> Iterator[Announced]:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=f"test-{secrets.token_hex(6)}-announced")["QueueUrl"]
    yield Announced(sqs, url)
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def function(aws: Aws, faulty: FaultyAws, announced: Announced, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    with delivery_function(aws, monkeypatch, faulty.url, events_queue_url=announced.url) as function:
        yield function


def fanned_out(function: Function, provider: Provider, *client_ids: str) -> list[DeliveryMessage]:
    """Record and queue a logout's deliveries as the fan-out does, and close it."""
    now, sid = round(time.time() * 1000), new_id("sid")
    message = end_message(provider.name, provider.issuer, SessionEnded(sid, now, "end"))
    logouts = Logouts(function.aws.client("dynamodb"), function.aws.stack.tables["DeliveriesTable"])
    logouts.open(message, provider.issuer, now)
    run = Run(provider.name, provider.issuer, message.logout_id, message.fanout_id, now, whole_session=True)
    messages = [DeliveryMessage(provider.name, message.logout_id, client_id, sid) for client_id in client_ids]
    for each in messages:
        assert function.deliveries.record(run, PlannedDelivery(each.client_id, sid, new_id("sub")), now)
        function.send("first", each)
    logouts.close(message, len(client_ids), now)
    return messages


def kinds(found: list[tuple[str, Json]]) -> list[str]:
    return sorted(kind for kind, _ in found)


def test_deliveries_that_are_still_pending_are_no_event_and_the_last_one_settles_the_logout(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, announced: Announced
) -> None:
    failing = relying_party(Answer(503), Answer(404))
    first, second = (provider.register_client(rp) for rp in (relying_party(), failing))
    fanned_out(function, provider, first, second)

    function.drain("first")
    before = announced.take()
    function.drain("retry")

    assert before == []
    (_, failed), (_, settled) = sorted(announced.take(), key=lambda each: each[0])
    assert (failed["client_id"], failed["attempts"]) == (second, 2)
    assert settled["counts"] == {"accepted": 1, "rejected": 1}


def test_of_two_that_finish_a_logout_at_once_one_sees_that_it_is_settled(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, announced: Announced
) -> None:
    rp = relying_party()
    client_ids = [provider.register_client(rp) for _ in range(2)]
    monitored = []
    for _ in range(5):
        one, other = fanned_out(function, provider, *client_ids)
        bodies = [_event(function, each) for each in (one, other)]
        side_by_side(*[lambda body=body: function.app.handler(body, CONTEXT) for body in bodies])
        monitored.append((one.logout_id, announced.take()))
    function.drain("first")

    for logout_id, found in monitored:
        assert {(kind, detail["logout_id"]) for kind, detail in found} == {("logout.settled", logout_id)}
        assert len({detail["id"] for _, detail in found}) == 1


def _event(function: Function, message: DeliveryMessage) -> Json:
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": str(round(time.time() * 1000))}
    arn = function._arn("first")
    body = message.to_json()
    return {
        "Records": [{"messageId": body, "receiptHandle": "handle", "body": body, "attributes": attributes, "eventSourceARN": arn}]
    }


def test_a_function_that_dies_before_it_announces_does_so_when_its_message_comes_again(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, announced: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    rp = relying_party(Answer(404))
    (message,) = fanned_out(function, provider, provider.register_client(rp))

    def dies(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Queue, "send", dies)
        with pytest.raises(Died):
            function.poll("first")
    dead = function.record(message).status, announced.take()
    function.settled(message)

    assert dead == (Status.REJECTED, [])
    assert kinds(announced.take()) == ["delivery.failed", "logout.settled"]
    assert len(rp.requests) == 1


@pytest.mark.parametrize("fails", [("SendMessageBatch", "announced"), ("Query", "LOGOUT")], ids=["queue", "look"])
def test_what_cannot_be_announced_is_announced_later_and_no_token_is_sent_again(  # noqa: PLR0917 - fixtures
    function: Function,
    faulty: FaultyAws,
    provider: Provider,
    relying_party: MakeRelyingParty,
    announced: Announced,
    fails: tuple[str, str],
) -> None:
    rp = relying_party(Answer(404))
    (message,) = fanned_out(function, provider, provider.register_client(rp))

    operation, word = fails
    with faulty.fault(operation, error("AccessDeniedException"), word):
        for queue in ("first", "retry"):
            function.poll(queue)
        waiting = function.waiting("first", "retry"), announced.take()
    function.settled(message)

    assert waiting == (1, [])
    assert set(kinds(announced.take())) == {"delivery.failed", "logout.settled"}
    assert (len(rp.requests), function.waiting("dead")) == (1, 0)


def test_a_circuit_that_opens_and_closes_is_announced(
    function: Function,
    provider: Provider,
    relying_party: MakeRelyingParty,
    announced: Announced,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = CircuitBreakerConfig(
        failure_threshold=FAILURES,
        recovery_timeout=1,
        success_threshold=1,
        handled_exceptions=circuits._FailingError,
        local_cache_max_age=0,
    )
    monkeypatch.setattr(circuits, "_CONFIG", config)
    client_id = provider.register_client(relying_party(*[Answer(503)] * (FAILURES + 1), Answer()))
    for _ in range(FAILURES):
        function.queue(provider.name, client_id)

    function.drain("first")
    opened = announced.take()
    function.poll_until(lambda: function.waiting("first", "retry") == 0)  # a first probe fails, which is nothing new

    assert [(kind, detail["client_id"]) for kind, detail in opened] == [("circuit.opened", client_id)]
    assert [kind for kind, _ in announced.take()] == ["circuit.closed"]


def test_a_fan_out_that_cannot_announce_is_not_repeated_for_that(aws: Aws, provider: Provider, announced: Announced) -> None:
    dynamodb, tables, ends = aws.client("dynamodb"), aws.stack.tables, FakeQueue()
    message = end_message(provider.name, provider.issuer, SessionEnded(new_id("sid"), round(time.time() * 1000), "end"))
    message = replace(message, reopen=True)

    is_done = fan_out_with(dynamodb, tables, ends, FakeQueue(broken=True)).carry_out(
        message, now=lambda: message.ended_at + 1, time_is_short=lambda: False, is_repeated=False
    )
    (*_, last) = [EndMessage.from_json(each.body) for each in ends.sent]
    fan_out_with(dynamodb, tables, ends, Queue(aws.client("sqs"), announced.url)).announce(last)

    assert (is_done, last) == (True, replace(message, only_announces=True))
    assert kinds(announced.take()) == ["logout.settled"]


def fan_out_with(dynamodb: Any, tables: dict[str, str], ends: Queue, events_out: Queue) -> FanOut:
    return FanOut(
        Providers(dynamodb, tables["ProvidersTable"]),
        Sessions(dynamodb, tables["SessionsTable"]),
        Logouts(dynamodb, tables["DeliveriesTable"]),
        Deliveries(dynamodb, tables["DeliveriesTable"]),
        ends,
        FakeQueue(),
        mass_logout_ended_queue=FakeQueue(),
        mass_delivery_queue=FakeQueue(),
        activities=SourceActivities(dynamodb, tables["SourceActivityTable"]),
        announcer=Announcer.over(dynamodb, tables["DeliveriesTable"], events_out),
    )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_fan_out_that_dies_at_any_call_announces_in_the_end(
    aws: Aws,
    provider: Provider,
    announced: Announced,
    after: bool,  # noqa: FBT001 - a row
) -> None:
    fresh = Aws(aws.stack)
    dynamodb, sqs = fresh.client("dynamodb"), fresh.client("sqs")
    mortal = Mortal(dynamodb, sqs)
    fan_out = fan_out_with(dynamodb, aws.stack.tables, FakeQueue(), Queue(sqs, announced.url))

    def carry_out(sid: str, *, is_repeated: bool) -> None:
        message = end_message(provider.name, provider.issuer, SessionEnded(sid, round(time.time() * 1000), "end"))
        now = message.ended_at + 1
        assert fan_out.carry_out(message, now=lambda: now, time_is_short=lambda: False, is_repeated=is_repeated)

    carry_out(new_id("sid"), is_repeated=False)
    calls = mortal.calls
    assert kinds(announced.take()) == ["logout.settled"]
    for at in range(1, calls + 1):
        sid = new_id("sid")
        mortal.dies(at, after=after)
        with pytest.raises(Died):
            carry_out(sid, is_repeated=False)
        mortal.lives()
        carry_out(sid, is_repeated=True)

        found = announced.take()
        assert {kind for kind, _ in found} == {"logout.settled"}
        assert {detail["logout_id"] for _, detail in found} == {provider.logout_of_session(sid)}
