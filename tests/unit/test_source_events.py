"""What becomes of the messages of SourceEventsQueue: taken in, put off, or a dead letter."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from backchannel.api.source_counter import SourceCounter
from backchannel.api.source_events import SourceEventsConsumer, source_of_sign_ins
from backchannel.api.source_intake import SourceIntake
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import SqsRecord
from backchannel.errors import NotFoundError, StorageUnavailable
from backchannel.providers.source_activity import SourceActivities, Tally
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider, Providers
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEvent, SubjectSessionsEnded
from backchannel.sessions.handed_on import messages
from backchannel.sessions.intake import Intake
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from backchannel.webhooks.cognito_sign_ins import message_of
from tests.support.queues import FakeQueue
from tests.unit.conftest import Log
from tests.unit.fakes import Steady, sample

pytestmark = pytest.mark.usefixtures("no_metrics")

type Json = dict[str, Any]

ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
POOL = Provider("pool", ISSUER, ())
SOURCES = {"trail": Source("trail", "cognito", None), "app": Source("app", "standard-webhooks", "secret")}
SENT_AT = 1_788_256_860_000
NOW = SENT_AT + 3_600_000
"""An hour later: the message has waited."""

SUB, CLIENT = "c0600000-0000-4000-8000-00000000ada1", "1example23456789abcdefghij"


class Stored(Sessions):
    """Keeps starts; ``covering`` is the end that covers them, ``failure`` what is raised instead."""

    def __init__(self) -> None:
        self.starts: list[RpSessionStarted] = []
        self.covering: Ended | None = None
        self.failure: Exception | None = None

    def start(self, issuer: str, started: RpSessionStarted, now: int) -> Ended | None:
        assert (issuer, now) == (ISSUER, NOW)
        self.start_many(issuer, [started], now)
        return self.covering

    def start_many(self, _: str, starts: Sequence[RpSessionStarted], __: int) -> list[tuple[RpSessionStarted, Ended]]:
        if self.failure is not None:
            raise self.failure
        self.starts += starts
        return [] if self.covering is None else [(each, self.covering) for each in starts]


class Counted(SourceActivities):
    """Keeps what is added."""

    def __init__(self) -> None:
        self.tallies: list[tuple[str, str, Tally]] = []

    def add(self, provider: str, source: str, tally: Tally) -> None:
        self.tallies.append((provider, source, tally))


def _provider(name: str) -> Provider:
    if name != POOL.provider:
        raise NotFoundError.of("provider", name)
    return POOL


def _source(_: str, name: str) -> Source:
    if name not in SOURCES:
        raise NotFoundError.of("source", name)
    return SOURCES[name]


def _of_sign_ins(issuer: str) -> tuple[Provider, Source]:
    if issuer != ISSUER:
        raise NotFoundError.of("provider of issuer", issuer)
    return POOL, SOURCES["trail"]


def _unknown(*names: str) -> Any:
    raise NotFoundError.of("client", names[-1])


@dataclass
class World:
    """The consumer, and what it reaches."""

    sessions: Stored = field(default_factory=Stored)
    ends: FakeQueue = field(default_factory=FakeQueue)
    queue: FakeQueue = field(default_factory=FakeQueue)
    dead: FakeQueue = field(default_factory=FakeQueue)
    counted: Counted = field(default_factory=Counted)

    def handle(self, body: str | Json, received: int = 1) -> bool:
        consumer = SourceEventsConsumer(
            provider=_provider,
            source=_source,
            of_sign_ins=_of_sign_ins,
            client=_unknown,
            intake=SourceIntake(Intake(self.sessions, self.ends), SourceCounter(lambda: self.counted)),
            queue=self.queue,
            dead_letters=DeadLetters(self.dead),
            rng=Steady(),
            now=lambda: NOW,
        )
        text = body if isinstance(body, str) else json.dumps(body)
        return consumer.handle(SqsRecord("m1", text, "receipt", "arn", received, SENT_AT))

    @property
    def ended(self) -> list[Ended]:
        return [EndMessage.from_json(each.body).event for each in self.ends.sent]

    @property
    def counts(self) -> Json:
        """Return what was counted in one write."""
        ((_, _, tally),) = self.counted.tallies
        return {name: count for name, count in tally.counts.items() if count}


@pytest.fixture
def world() -> World:
    return World()


def _event(name: str = "AdminDisableUser", **detail: Any) -> Json:
    event = sample(f"cognito-eventbridge-{name}.json")
    return {"provider": "pool", "source": "trail", "event": {**event, "detail": {**event["detail"], **detail}}}


def test_an_event_that_iam_proves_has_its_end_queued_and_is_counted(world: World) -> None:
    assert world.handle(_event())

    eventbridge_id = "ee000000-0000-4000-8000-000000000002"
    assert world.ended == [SubjectSessionsEnded(SUB, 1_788_256_800_999, eventbridge_id, reason=Reason.USER_DISABLED)]
    ((provider, source, tally),) = world.counted.tallies
    assert (provider, source, world.counts) == ("pool", "trail", {"ended": 1})
    assert tally.last_event == ("subject_sessions_ended", NOW)


def test_a_sign_in_is_a_start_of_its_pools_provider(world: World) -> None:
    message = message_of(sample("cognito-lambda-PreTokenGeneration-v1.json"), SENT_AT - 250)

    assert world.handle(message or {})

    assert world.sessions.starts == [RpSessionStarted(SUB, CLIENT, SENT_AT - 250)]
    assert world.counts == {"started": 1}


def test_an_event_is_read_as_of_when_it_came_however_long_it_waited(world: World) -> None:
    message = message_of(sample("cognito-lambda-PreTokenGeneration-v1.json"), SENT_AT + 250_000)

    assert world.handle(message or {})

    assert [each.started_at for each in world.sessions.starts] == [SENT_AT]


def test_half_a_character_in_what_an_event_says_beside_keeps_it_from_nobody(world: World) -> None:
    assert world.handle(_event(userAgent="cut off \ud83d"))

    assert (len(world.ended), world.dead.sent) == (1, [])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "message_not_understood"),
        ("[]", "message_not_understood"),
        ('{"provider": "pool", "provider": "pool"}', "message_not_understood"),
        ({"provider": "pool", "source": "trail"}, "message_not_understood"),
        ({"provider": "pool", "source": 7, "event": {}}, "message_not_understood"),
        ({"issuer": 7, "event": {}}, "message_not_understood"),
        ({"provider": "pool", "issuer": ISSUER, "source": "app", "events": [{}]}, "message_not_understood"),
        ({**_event(), "provider": "\ud83d"}, "message_not_understood"),
        ({**_event(), "provider": "nobody"}, "not_found"),
        ({**_event(), "source": "nobody"}, "not_found"),
        ({"issuer": "https://idp.example", "event": {}}, "not_found"),
        ({"provider": "pool", "issuer": "https://idp.example", "source": "app", "events": []}, "not_found"),
    ],
)
def test_a_message_that_nobody_can_act_on_is_a_dead_letter(world: World, log: Log, body: str | Json, code: str) -> None:
    assert world.handle(body)

    assert [each.body for each in world.dead.sent] == [body if isinstance(body, str) else json.dumps(body)]
    assert (log.lines[-1]["message"], log.lines[-1]["code"]) == ("message.dead_lettered", code)
    assert world.counted.tallies == []


@pytest.mark.parametrize(
    ("body", "source", "code"),
    [
        (_event(eventTime="yesterday"), "trail", "malformed_request"),
        (_event(eventID=None), "trail", "identifier_invalid"),
        ({**_event(), "source": "app"}, "app", "signature_invalid"),
    ],
    ids=["time", "id", "has to be signed"],
)
def test_an_event_that_is_refused_is_counted_and_a_dead_letter(world: World, body: Json, source: str, code: str) -> None:
    assert world.handle(body)

    assert len(world.dead.sent) == 1
    assert (world.ended, world.sessions.starts) == ([], [])
    ((_, counted, tally),) = world.counted.tallies
    assert (counted, world.counts, tally.last_refusal) == (source, {"refused": 1}, (code, NOW))


def test_the_log_of_a_dead_letter_names_the_source(world: World, log: Log) -> None:
    world.handle(_event(eventTime="yesterday"))

    assert (log.lines[-1]["provider"], log.lines[-1]["source"]) == ("pool", "trail")


def test_a_dead_letter_that_cannot_be_sent_stays_where_it_is(world: World) -> None:
    world.dead.broken = True

    assert not world.handle("")


@pytest.mark.parametrize("failure", [StorageUnavailable("ThrottlingException"), ZeroDivisionError()], ids=["AWS", "ours"])
def test_what_cannot_be_stored_comes_back_later_each_time(world: World, failure: Exception) -> None:
    message = message_of(sample("cognito-lambda-PreTokenGeneration-v1.json"), SENT_AT) or {}
    world.sessions.failure = failure

    assert not world.handle(message)
    assert not world.handle(message, received=3)
    world.sessions.failure = None
    assert world.handle(message, received=4)

    assert [delay for _, delay in world.queue.given_back] == [10_000, 40_000]
    assert (len(world.sessions.starts), world.dead.sent, world.counts) == (1, [], {"started": 1})


def test_what_sqs_does_not_give_back_comes_back_all_the_same(world: World) -> None:
    world.ends.broken = world.queue.broken = True

    assert not world.handle(_event())


# --- large batches --------------------------------------------------------------------------------------------------

START, OTHER, END = RpSessionStarted("ada", "wiki", 1), RpSessionStarted("bob", "wiki", 2), SubjectSessionsEnded("cy", 3, "e-1")


def _handed_on(*events: SessionEvent) -> str:
    (message,) = messages("pool", ISSUER, "app", events)
    return message.body


def test_the_events_of_a_batch_are_stored_and_queued_and_not_counted_again(world: World) -> None:
    assert world.handle(_handed_on(START, OTHER, END))

    assert world.sessions.starts == [START, OTHER]
    assert world.ended == [END]
    assert world.counted.tallies == []


def test_the_end_of_a_start_that_came_late_is_counted_when_it_is_found(world: World) -> None:
    world.sessions.covering = SubjectSessionsEnded("ada", 9, "e-9")

    assert world.handle(_handed_on(START, END))

    assert world.ended == [world.sessions.covering, END]
    assert world.counts == {"ended": 1}


# --- the source of sign-ins -----------------------------------------------------------------------------------------


class Configured(Providers):
    """A provider with these sources."""

    def __init__(self, *sources: Source) -> None:
        self._sources = [*sources]

    def by_issuer(self, issuer: str) -> Provider:
        return _of_sign_ins(issuer)[0]

    def sources(self, _: str) -> list[Source]:
        return self._sources


def test_sign_ins_count_for_the_first_source_of_their_format() -> None:
    configured = Configured(SOURCES["app"], Source("a", "cognito", None), Source("b", "cognito", None))

    assert source_of_sign_ins(configured, ISSUER) == (POOL, Source("a", "cognito", None))


def test_without_a_source_of_their_format_sign_ins_are_nobodys() -> None:
    with pytest.raises(NotFoundError, match="pool"):
        source_of_sign_ins(Configured(SOURCES["app"]), ISSUER)
