"""Events on their way from EventsOutQueue to the bus: none is lost, whatever the bus says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from backchannel.announcements.consumer import EventsOutConsumer
from backchannel.announcements.details import Announcement
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.event_bus import TRUSTED, EventBus
from backchannel.aws.sqs import SqsRecord
from backchannel.runtime.observability import metrics
from tests.support.queues import FakeQueue
from tests.unit.conftest import Log
from tests.unit.fakes import Steady

AT = 1_788_256_800_000
MESSAGE = Announcement("delivery.failed", "acme", AT, '{"id":"1"}')

type Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("no_metrics")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "PutEvents")


@dataclass
class FakeEvents:
    """EventBridge: ``codes`` are what it says of the entries of a call, ``missing`` and ``error`` what it says instead."""

    codes: Sequence[str | None] = (None,)
    missing: Exception | None = None
    error: Exception | None = None
    calls: list[str] = field(default_factory=list)
    taken: list[Json] = field(default_factory=list)

    def describe_event_bus(self, **named: str) -> Json:
        self.calls.append(f"describe {named['Name']}")
        if self.missing is not None:
            raise self.missing
        return {}

    def put_events(self, **sent: list[Json]) -> Json:
        self.calls.append("put")
        if self.error is not None:
            raise self.error
        entries = sent["Entries"]
        codes = [*self.codes, *[None] * (len(entries) - len(self.codes))]
        self.taken += [entry for entry, code in zip(entries, codes, strict=True) if code is None]
        return {"Entries": [{"EventId": "e"} if code is None else {"ErrorCode": code} for code in codes]}


@dataclass
class World:
    """The consumer, and what it reaches."""

    events: FakeEvents = field(default_factory=FakeEvents)
    queue: FakeQueue = field(default_factory=FakeQueue)
    dead: FakeQueue = field(default_factory=FakeQueue)
    time: float = 1000.0

    def __post_init__(self) -> None:
        bus = EventBus(self.events, "operators", "backchannel.dev", lambda: self.time)
        self.consumer = EventsOutConsumer(bus, self.queue, DeadLetters(self.dead), Steady())

    def handle(self, *bodies: str, received: int = 1) -> list[str]:
        records = [
            SqsRecord(f"m{number}", body, f"receipt-{number}", "arn", received, AT) for number, body in enumerate(bodies, 1)
        ]
        return [each.message_id for each in self.consumer.handle(records)]


def test_an_announcement_becomes_an_event_of_the_bus() -> None:
    world = World()

    assert world.handle(MESSAGE.to_json()) == []

    (entry,) = world.events.taken
    assert entry.pop("Time").timestamp() * 1000 == AT
    assert entry == {
        "EventBusName": "operators",
        "Source": "backchannel.dev",
        "DetailType": "delivery.failed",
        "Detail": '{"id":"1"}',
    }


def test_what_the_bus_refuses_of_a_batch_stays_and_comes_later_each_time(log: Log) -> None:
    world = World(FakeEvents(codes=[None, "ThrottlingException", None]))

    stay = world.handle(*[MESSAGE.to_json()] * 3, received=3)

    assert stay == ["m2"]
    assert len(world.events.taken) == 2
    assert world.queue.given_back == [("receipt-2", 40_000)]
    assert [(line["message"], line["detail"]) for line in log.lines] == [("events_out.postponed", "ThrottlingException")]
    assert metrics.metric_set["Postponed"]["Value"] == [1.0]


@pytest.mark.parametrize("error", [client_error("AccessDeniedException"), EndpointConnectionError(endpoint_url="https://e")])
def test_without_an_answer_of_the_bus_the_whole_batch_stays(error: Exception, log: Log) -> None:
    world = World(FakeEvents(error=error))

    assert world.handle(*[MESSAGE.to_json()] * 2) == ["m1", "m2"]

    assert [receipt for receipt, _ in world.queue.given_back] == ["receipt-1", "receipt-2"]
    assert {line["code"] for line in log.lines} == {"event_bus_unavailable"}


def test_while_there_is_no_such_bus_nothing_is_put_on_it() -> None:
    world = World(FakeEvents(missing=client_error("ResourceNotFoundException")))

    first = world.handle(MESSAGE.to_json())
    world.events.missing = None
    second = world.handle(MESSAGE.to_json())

    assert (first, second) == (["m1"], [])
    assert world.events.calls == ["describe operators", "describe operators", "put"]


def test_a_bus_that_was_there_is_asked_for_again_after_a_minute() -> None:
    world = World()

    for time in (0.0, TRUSTED - 1, TRUSTED):
        world.time = 1000.0 + time
        world.handle(MESSAGE.to_json())

    assert world.events.calls == ["describe operators", "put", "put", "describe operators", "put"]


@pytest.mark.parametrize(
    "body", ["", "{}", "garbage", json.dumps({"detail_type": "a", "provider": "b", "at": "c", "detail": "d"})]
)
def test_what_nobody_understands_is_a_dead_letter_and_holds_nothing_up(body: str) -> None:
    world = World()

    assert world.handle(body, MESSAGE.to_json()) == []

    assert [each.body for each in world.dead.sent] == [body]
    assert len(world.events.taken) == 1


def test_what_nobody_understands_stays_while_it_cannot_become_a_dead_letter() -> None:
    world = World(dead=FakeQueue(broken=True))

    assert world.handle("garbage") == ["m1"]
    assert world.events.calls == []


def test_what_cannot_be_given_back_comes_back_by_itself(log: Log) -> None:
    world = World(FakeEvents(codes=["InternalFailure"]), queue=FakeQueue(broken=True))

    assert world.handle(MESSAGE.to_json()) == ["m1"]

    assert [line["message"] for line in log.lines] == ["events_out.postponed", "events_out.kept"]
