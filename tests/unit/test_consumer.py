from dataclasses import dataclass, field, replace
from random import Random
from typing import cast

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Outgoing, SqsRecord
from backchannel.deliveries.announcer import Announcer
from backchannel.deliveries.consumer import ANNOUNCING, RENEWED, DeliveryConsumer, Handled, count
from backchannel.deliveries.messages import DeliveryMessage, WakeMessage
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.slow_clients import QUICK_ANSWERS, REMEMBERED, SLOW_MS, SlowClients
from backchannel.deliveries.verdicts import Done, Measured, Postponed, RetryIn, Verdict
from backchannel.deliveries.waking import Waker
from backchannel.deliveries.worker import DeliveryWorker
from backchannel.errors import ConnectFailed, InternalFailure, QueueUnavailable, ReadTimeout, StorageUnavailable
from backchannel.providers.clients import DEADLINE_MAX
from backchannel.runtime.observability import metrics
from tests.support.queues import FakeQueue
from tests.unit.conftest import Log
from tests.unit.fakes import Steady

NOW = 1_788_256_800_000
DELIVERY_QUEUE = "arn:aws:sqs:eu-central-1:123456789012:delivery"
RETRY_QUEUE = "arn:aws:sqs:eu-central-1:123456789012:retry"
MESSAGE = DeliveryMessage("idp", "l1", "wiki", "sid-1")
MEASURED = Measured(signing_ms=10.0, post_ms=20.0, since_end_ms=900)
RETRYING = RetryIn(5000, Outcome(Status.RETRYING, "http_503", 5000), MEASURED)
ACCEPTED = Done(Outcome(Status.ACCEPTED, "http_200"), MEASURED)
POSTPONED = Postponed()


@dataclass
class FakeWorker:
    verdict: Verdict
    attempted: list[DeliveryMessage] = field(default_factory=list)
    error: Exception | None = None
    rng: Random = field(default_factory=Steady)

    def now(self) -> int:
        return NOW

    def attempt(self, message: DeliveryMessage) -> Verdict:
        self.attempted.append(message)
        if self.error is not None:
            raise self.error
        return self.verdict


@dataclass
class FakeWaker:
    failure: InternalFailure | None = None
    woken: list[WakeMessage] = field(default_factory=list)

    def wake(self, message: WakeMessage) -> None:
        self.woken.append(message)
        if self.failure is not None:
            raise self.failure


@dataclass
class ConsumerWorld:
    """A DeliveryConsumer with everything around it."""

    verdict: Verdict = RETRYING
    retry_queue: FakeQueue = field(default_factory=FakeQueue)
    dead_letter_queue: FakeQueue = field(default_factory=FakeQueue)
    slow_clients: SlowClients = field(default_factory=SlowClients)

    def __post_init__(self) -> None:
        self.worker, self.waker = FakeWorker(self.verdict), FakeWaker()

    @property
    def consumer(self) -> DeliveryConsumer:
        return DeliveryConsumer(
            cast("DeliveryWorker", self.worker),
            self.retry_queue,
            RETRY_QUEUE,
            DeadLetters(self.dead_letter_queue),
            self.slow_clients,
            cast("Waker", self.waker),
        )

    def handle(self, source: str, body: str = MESSAGE.to_json(), received: int = 1, age: int = 0) -> Handled:
        return self.consumer.handle(_record(source, body, received, age))


@pytest.mark.parametrize("source", [DELIVERY_QUEUE, RETRY_QUEUE])
def test_a_delivery_that_is_done_with_leaves_its_queue(source: str) -> None:
    world = ConsumerWorld(ACCEPTED)

    handled = world.handle(source)

    assert handled == Handled("m1", ACCEPTED)
    assert (world.retry_queue.sent, world.retry_queue.given_back) == ([], [])
    assert world.worker.attempted == [MESSAGE]


def test_the_first_failure_moves_to_the_retry_queue() -> None:
    world = ConsumerWorld()

    handled = world.handle(DELIVERY_QUEUE)

    assert handled == Handled("m1", RETRYING)
    assert world.retry_queue.sent == [Outgoing(MESSAGE.to_json(), ("idp", "wiki"), 5000)]
    assert world.retry_queue.given_back == []


def test_what_nobody_foresaw_postpones_one_record_and_is_no_fault_of_the_batch(log: Log) -> None:
    world = ConsumerWorld()
    world.worker.error = TypeError("a bug")

    handled = world.handle(RETRY_QUEUE)

    assert handled == Handled("m1", POSTPONED, stays=True)
    assert [line["message"] for line in log.lines] == ["delivery.failed"]


@pytest.mark.usefixtures("no_metrics")
def test_what_became_of_a_delivery_is_counted_without_an_attempt_too() -> None:
    _count(Done(Outcome(Status.UNDELIVERABLE, "circuit_open")), POSTPONED, POSTPONED)

    assert _counted() == {"DeliveriesUndeliverable": [1.0], "Postponed": [1.0, 1.0]}


@pytest.mark.parametrize(
    ("received", "delay"), [(1, 10_000), (2, 20_000), (5, 160_000), (7, 640_000), (8, 900_000), (1000, 900_000)]
)
def test_what_an_internal_failure_holds_up_waits_the_longer_the_more_often_it_came(received: int, delay: int) -> None:
    world = ConsumerWorld(POSTPONED)

    handled = world.handle(RETRY_QUEUE, received=received)

    assert handled == Handled("m1", POSTPONED, stays=True)
    assert world.retry_queue.given_back == [("receipt-1", delay)]


def test_what_an_internal_failure_holds_up_moves_to_the_retry_queue_too() -> None:
    world = ConsumerWorld(POSTPONED)

    handled = world.handle(DELIVERY_QUEUE)

    assert handled == Handled("m1", POSTPONED)
    assert world.retry_queue.sent == [Outgoing(MESSAGE.to_json(), ("idp", "wiki"), 10_000)]


def test_a_later_failure_stays_in_the_retry_queue_until_it_is_due() -> None:
    world = ConsumerWorld(replace(RETRYING, delay=1_800_000))

    handled = world.handle(RETRY_QUEUE)

    assert handled == Handled("m1", replace(RETRYING, delay=1_800_000), stays=True)
    assert world.retry_queue.given_back == [("receipt-1", 1_800_000)]
    assert world.retry_queue.sent == []


@pytest.mark.parametrize("source", [DELIVERY_QUEUE, RETRY_QUEUE])
def test_when_sqs_cannot_be_told_the_record_stays_where_it_is(source: str, log: Log) -> None:
    world = ConsumerWorld(retry_queue=FakeQueue(broken=True))

    handled = world.handle(source)

    assert handled == Handled("m1", RETRYING, stays=True, queue_failed=True)
    assert [(line["message"], line["code"]) for line in log.lines] == [("delivery.kept", "queue_unavailable")]


def test_first_attempts_of_a_slow_client_move_to_the_retry_queue_at_once() -> None:
    world = ConsumerWorld(replace(ACCEPTED, measured=replace(MEASURED, post_ms=SLOW_MS)))

    world.handle(DELIVERY_QUEUE)
    moved = world.handle(DELIVERY_QUEUE)
    attempted = world.handle(RETRY_QUEUE)

    assert (moved, attempted.stays) == (Handled("m1", None), False)
    assert world.retry_queue.sent == [Outgoing(MESSAGE.to_json(), ("idp", "wiki"), 0)]
    assert len(world.worker.attempted) == 2


def test_a_client_that_is_quick_again_is_no_slow_one() -> None:
    world = ConsumerWorld(ACCEPTED)
    world.slow_clients.note("idp", "wiki", SLOW_MS, answered=True)

    for _ in range(QUICK_ANSWERS - 1):
        world.handle(RETRY_QUEUE)
    world.handle(DELIVERY_QUEUE)
    moved = len(world.retry_queue.sent)
    world.handle(RETRY_QUEUE)
    world.handle(DELIVERY_QUEUE)

    assert (moved, len(world.retry_queue.sent)) == (1, 1)
    assert len(world.worker.attempted) == QUICK_ANSWERS + 1


def test_a_refused_connection_makes_no_client_quick() -> None:
    refused = RetryIn(5000, Outcome(Status.RETRYING, ConnectFailed.code, 5000), MEASURED)
    world = ConsumerWorld(refused)
    world.slow_clients.note("idp", "wiki", SLOW_MS, answered=True)

    for _ in range(QUICK_ANSWERS):
        world.handle(RETRY_QUEUE)

    assert world.slow_clients.is_slow("idp", "wiki")


def test_a_timeout_makes_a_client_a_slow_one() -> None:
    timed_out = Outcome(Status.RETRYING, ReadTimeout.code, 5000)
    world = ConsumerWorld(RetryIn(5000, timed_out, replace(MEASURED, post_ms=SLOW_MS)))

    world.handle(DELIVERY_QUEUE)

    assert world.slow_clients.is_slow("idp", "wiki")


def test_quick_answers_count_only_in_a_row() -> None:
    clients = SlowClients()

    for post_ms in [SLOW_MS, *[1] * (QUICK_ANSWERS - 1)] * 3:
        clients.note("idp", "wiki", post_ms, answered=True)

    assert clients.is_slow("idp", "wiki")


def test_a_quick_answer_does_not_put_off_the_next_chance_of_a_slow_client() -> None:
    clock = [1000.0]
    clients = SlowClients(lambda: clock[0])
    clients.note("idp", "wiki", SLOW_MS, answered=True)
    clock[0] += REMEMBERED - 1
    clients.note("idp", "wiki", 1, answered=True)
    before = clients.is_slow("idp", "wiki")

    clock[0] += 1

    assert (before, clients.is_slow("idp", "wiki")) == (True, False)


@pytest.mark.usefixtures("no_metrics")
def test_what_sqs_could_not_be_told_about_is_counted_as_postponed_once() -> None:
    count([Handled("m1", RETRYING, queue_failed=True), Handled("m2", POSTPONED, queue_failed=True)])

    assert _counted()["Postponed"] == [1.0, 1.0]
    assert _counted()["DeliveriesRetrying"] == [1.0]


@pytest.mark.parametrize("source", [DELIVERY_QUEUE, RETRY_QUEUE])
def test_what_internal_failures_hold_up_for_days_becomes_a_dead_letter(source: str, log: Log) -> None:
    world = ConsumerWorld(POSTPONED)

    before = world.handle(source, age=DEADLINE_MAX * 1000 - 1)
    after = world.handle(source, age=DEADLINE_MAX * 1000)

    assert before.stays == (source == RETRY_QUEUE)
    assert after == Handled("m1", POSTPONED)
    assert [message.body for message in world.dead_letter_queue.sent] == [MESSAGE.to_json()]
    assert [(line["message"], line["code"]) for line in log.lines] == [("message.dead_lettered", "message_stuck")]


@pytest.mark.parametrize(("age", "stays"), [(RENEWED, True), (RENEWED + 1, False), (DEADLINE_MAX * 1000, False)])
def test_what_merely_waits_for_days_is_sent_anew_before_sqs_forgets_it(age: int, stays: bool) -> None:  # noqa: FBT001 - a row
    world = ConsumerWorld()

    assert world.handle(RETRY_QUEUE, age=age).stays is stays
    assert [each.body for each in world.retry_queue.sent] == ([] if stays else [MESSAGE.to_json()])
    assert world.dead_letter_queue.sent == []


def test_what_internal_failures_hold_up_for_days_survives_a_broken_dead_letter_queue() -> None:
    world = ConsumerWorld(POSTPONED, dead_letter_queue=FakeQueue(broken=True))

    assert world.handle(RETRY_QUEUE, age=DEADLINE_MAX * 1000).stays


@pytest.mark.parametrize(
    "body", ["", "garbage", "{}", '{"provider": "idp"}', '{"provider": 1, "logout_id": "l", "client_id": "c"}']
)
@pytest.mark.parametrize("source", [DELIVERY_QUEUE, RETRY_QUEUE])
def test_what_nobody_understands_goes_where_it_alarms_at_once(source: str, body: str, log: Log) -> None:
    world = ConsumerWorld()

    handled = world.handle(source, body)

    assert handled == Handled("m1", None)
    assert [message.body for message in world.dead_letter_queue.sent] == [body]
    assert world.worker.attempted == []
    assert [(line["message"], line["level"]) for line in log.lines] == [("message.dead_lettered", "ERROR")]


def test_what_nobody_understands_is_not_lost_when_the_dead_letter_queue_does_not_answer() -> None:
    world = ConsumerWorld(dead_letter_queue=FakeQueue(broken=True))

    assert world.handle(DELIVERY_QUEUE, "garbage") == Handled("m1", None, stays=True)


@pytest.mark.usefixtures("no_metrics")
def test_an_accepted_attempt_is_counted_with_its_times() -> None:
    _count(ACCEPTED, Done())

    assert _counted() == {
        "Attempts": [1.0],
        "SigningTime": [10.0],
        "PostTime": [20.0],
        "DeliveriesAccepted": [1.0],
        "TimeToAcceptance": [900.0],
    }
    assert metrics.metric_set["SigningTime"]["Unit"] == MetricUnit.Milliseconds.value


@pytest.mark.usefixtures("no_metrics")
def test_a_delivery_that_waits_for_its_client_is_no_outcome_of_an_attempt() -> None:
    _count(RetryIn(40_000, Outcome(Status.RETRYING, "circuit_open", 40_000)))

    assert _counted() == {}


@pytest.mark.usefixtures("no_metrics")
def test_a_failed_attempt_has_no_time_to_acceptance() -> None:
    _count(RETRYING, RETRYING)

    assert _counted()["DeliveriesRetrying"] == [1.0, 1.0]
    assert "TimeToAcceptance" not in _counted()


@pytest.mark.usefixtures("no_metrics")
def test_no_metric_has_a_dimension_for_the_client() -> None:
    _count(ACCEPTED)

    assert "wiki" not in str(metrics.metric_set)
    assert set(metrics.dimension_set) <= {"service"}


# --- Announcements ----------------------------------------------------------------------------------------------------

FINAL = DeliveryRecord(
    *("idp", "l1", "wiki", "sid-1", "ada", None, Status.ACCEPTED),
    attempts=1,
    issuer="https://idp.example",
    ended_at=NOW,
    created_at=NOW,
    updated_at=NOW,
)
FINISHED = replace(ACCEPTED, final=FINAL)
FOUND = Done(final=FINAL)


@dataclass
class FakeAnnouncer:
    error: Exception | None = None
    finals: list[DeliveryRecord] = field(default_factory=list)

    def finished(self, finals: list[DeliveryRecord]) -> None:
        self.finals += finals
        if self.error is not None:
            raise self.error


def announced(
    world: ConsumerWorld, announcer: FakeAnnouncer, *batch: tuple[Handled, str, int], age: int = 0, time_left: int = ANNOUNCING
) -> list[Handled]:
    records = [(_record(source, MESSAGE.to_json(), received, age), handled) for handled, source, received in batch]
    return world.consumer.announced(records, cast("Announcer", announcer), time_left=time_left)


@pytest.mark.parametrize(
    ("verdict", "source", "received", "is_announced"),
    [
        (FINISHED, DELIVERY_QUEUE, 1, True),
        (FINISHED, RETRY_QUEUE, 7, True),
        (FOUND, DELIVERY_QUEUE, 1, False),  # a copy; whoever made it final has announced it, or its message comes again
        (FOUND, DELIVERY_QUEUE, 2, True),
        (FOUND, RETRY_QUEUE, 1, True),  # where a dead letter is redriven to, and what could not be announced is kept
        (Done(), RETRY_QUEUE, 2, False),
        (RETRYING, RETRY_QUEUE, 2, False),
        (POSTPONED, RETRY_QUEUE, 2, False),
        (None, DELIVERY_QUEUE, 1, False),
    ],
)
def test_what_is_final_is_announced_also_by_a_message_that_finds_it_so(
    verdict: Verdict | None,
    source: str,
    received: int,
    is_announced: bool,  # noqa: FBT001 - a row
) -> None:
    announcer, handled = FakeAnnouncer(), Handled("m1", verdict)

    assert announced(ConsumerWorld(), announcer, (handled, source, received)) == [handled]

    assert announcer.finals == [FINAL] * is_announced


@pytest.mark.parametrize("error", [QueueUnavailable("AccessDenied"), StorageUnavailable("Throttled"), TypeError("a bug")])
def test_what_cannot_be_announced_comes_again_in_the_retry_queue(error: Exception, log: Log) -> None:
    world, announcer = ConsumerWorld(), FakeAnnouncer(error)
    done, found, waiting = Handled("m1", FINISHED), Handled("m1", FOUND), Handled("m1", RETRYING, stays=True)

    after = announced(world, announcer, (done, DELIVERY_QUEUE, 1), (found, RETRY_QUEUE, 2), (waiting, RETRY_QUEUE, 2))

    assert after == [replace(done, unannounced=True), replace(found, stays=True, unannounced=True), waiting]
    assert world.retry_queue.sent == [Outgoing(MESSAGE.to_json(), ("idp", "wiki"), 10_000)]
    assert world.retry_queue.given_back == [("receipt-1", 20_000)]
    assert [line["message"][:14] for line in log.lines] == ["announcements."]


def test_with_little_time_left_what_is_final_is_announced_later() -> None:
    world, announcer, done = ConsumerWorld(), FakeAnnouncer(), Handled("m1", FINISHED)

    after = announced(world, announcer, (done, DELIVERY_QUEUE, 1), time_left=ANNOUNCING - 1)

    assert (after, announcer.finals) == ([replace(done, unannounced=True)], [])
    assert [each.body for each in world.retry_queue.sent] == [MESSAGE.to_json()]


def test_what_can_neither_be_announced_nor_moved_stays() -> None:
    world = ConsumerWorld(retry_queue=FakeQueue(broken=True))

    (after,) = announced(world, FakeAnnouncer(QueueUnavailable()), (Handled("m1", FINISHED), DELIVERY_QUEUE, 1))

    assert (after.verdict, after.stays) == (FINISHED, True)


def test_what_could_not_be_announced_for_days_becomes_a_dead_letter() -> None:
    world, handled = ConsumerWorld(), Handled("m1", FOUND)

    after = announced(world, FakeAnnouncer(QueueUnavailable()), (handled, RETRY_QUEUE, 200), age=DEADLINE_MAX * 1000)

    assert after == [handled]
    assert [message.body for message in world.dead_letter_queue.sent] == [MESSAGE.to_json()]


@pytest.mark.usefixtures("no_metrics")
def test_what_could_not_be_announced_is_counted_as_postponed_beside_its_outcome() -> None:
    count([Handled("m1", FINISHED, unannounced=True)])

    assert (_counted()["Postponed"], _counted()["DeliveriesAccepted"]) == ([1.0], [1.0])


def _counted() -> dict[str, list[float]]:
    return {name: metric["Value"] for name, metric in metrics.metric_set.items()}


def _count(*verdicts: Verdict) -> None:
    count(Handled("m1", verdict) for verdict in verdicts)


def _record(source: str, body: str, received: int, age: int) -> SqsRecord:
    return SqsRecord.of(
        {
            "messageId": "m1",
            "receiptHandle": "receipt-1",
            "body": body,
            "attributes": {"ApproximateReceiveCount": str(received), "SentTimestamp": str(NOW - age)},
            "eventSourceARN": source,
        }
    )


WAKE = WakeMessage("idp", "wiki", NOW)


@pytest.mark.parametrize("source", [DELIVERY_QUEUE, RETRY_QUEUE])
def test_a_client_that_was_resumed_is_woken_up(source: str) -> None:
    world = ConsumerWorld()

    handled = world.handle(source, WAKE.to_json())

    assert (handled, world.waker.woken, world.worker.attempted) == (Handled("m1", None), [WAKE], [])


def test_a_client_that_could_not_be_woken_up_is_tried_again_as_a_repetition() -> None:
    world = ConsumerWorld()
    world.waker.failure = StorageUnavailable("ThrottlingException")

    first = world.handle(DELIVERY_QUEUE, WAKE.to_json())
    again = world.handle(RETRY_QUEUE, world.retry_queue.sent[0].body)
    later = world.handle(RETRY_QUEUE, WAKE.to_json(), received=2)

    assert first == Handled("m1", POSTPONED)
    assert again == later == Handled("m1", POSTPONED, stays=True)
    assert world.waker.woken == [WAKE, replace(WAKE, is_repeated=True), replace(WAKE, is_repeated=True)]
