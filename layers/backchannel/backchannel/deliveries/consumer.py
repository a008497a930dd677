"""How the records of DeliveryQueue and RetryQueue leave, move or stay.

The first time that a delivery has to wait, it moves to RetryQueue. There it becomes visible again when its next attempt is due.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord, backoff
from backchannel.deliveries.messages import DeliveryMessage, WakeMessage, read
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.slow_clients import SlowClients
from backchannel.deliveries.verdicts import Done, Postponed, RetryIn, Verdict
from backchannel.deliveries.waking import Waker
from backchannel.deliveries.worker import DeliveryWorker
from backchannel.errors import InternalFailure, MessageNotUnderstood, MessageStuck, OutOfTime, QueueUnavailable
from backchannel.providers.clients import DEADLINE_MAX
from backchannel.runtime.observability import logger, metrics

if TYPE_CHECKING:
    from backchannel.deliveries.announcer import Announcer

ANNOUNCING = 12_000
"""Milliseconds that announcing a batch may take: a few calls to AWS. With less left, the function could be killed at it."""

RENEWED = 86_400_000
"""The age of a message, in milliseconds, at which another takes its place: SQS forgets it four days after it was sent."""

_ANSWERED = "http_"
"""How the code of an outcome begins if the RP answered."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What was done about a record; one that ``stays`` has to be reported as a batch item failure.

    ``verdict`` is None if no attempt was asked for: the message is not understood, or it is moved to the slow lane.

    ``queue_failed``: SQS could not be told when the record has to come again. ``unannounced``: the delivery is final, and the
    record comes again for its announcement.
    """

    message_id: str
    verdict: Verdict | None
    stays: bool = False
    queue_failed: bool = False
    unannounced: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryConsumer:
    """Handles the records of both queues."""

    worker: DeliveryWorker
    retry_queue: Queue
    retry_queue_arn: str
    dead_letters: DeadLetters
    slow_clients: SlowClients
    waker: Waker

    def handle(self, record: SqsRecord) -> Handled:
        """Attempt the delivery of a record, and make sure that it comes again if it has to. Slow clients are left to RetryQueue.

        If SQS cannot be told when, the record stays where it is and comes back after the queue's visibility timeout. What
        internal failures have held up for days goes to the dead-letter queue, before SQS forgets it.
        """
        try:
            message = read(record.body)
        except MessageNotUnderstood as failure:
            return Handled(record.message_id, None, stays=not self.dead_letters.take(record, failure))
        if isinstance(message, WakeMessage):
            return self._wake(record, message)
        names = message.provider, message.client_id
        if record.queue_arn != self.retry_queue_arn and self.slow_clients.is_slow(*names):
            return self._retry(record, message, None, delay=0)
        try:
            verdict = self.worker.attempt(message)
        except Exception:  # noqa: BLE001 - the edge of one record: an unforeseen error must not cost the rest of the batch
            logger.exception("delivery.failed", logout_id=message.logout_id, client_id=message.client_id)
            verdict = Postponed()
        if not isinstance(verdict, Postponed) and verdict.measured is not None:
            answered = verdict.outcome is not None and verdict.outcome.code.startswith(_ANSWERED)
            self.slow_clients.note(*names, verdict.measured.post_ms, answered=answered)
        return self._leave(record, message, verdict)

    def _wake(self, record: SqsRecord, message: WakeMessage) -> Handled:
        again = replace(message, is_repeated=True)
        try:
            self.waker.wake(again if record.receive_count > 1 else message)
        except InternalFailure as failure:
            logger.error("client.not_woken", code=failure.code, detail=str(failure), client_id=message.client_id)
            return self._leave(record, again, Postponed())
        return Handled(record.message_id, None)

    def _leave(self, record: SqsRecord, message: DeliveryMessage | WakeMessage, verdict: Verdict) -> Handled:
        if self._is_stuck(record, verdict) and self.dead_letters.take(record, MessageStuck()):
            return Handled(record.message_id, verdict)
        match verdict:
            case Done():
                return Handled(record.message_id, verdict)
            case RetryIn(delay):
                return self._retry(record, message, verdict, delay, is_moved=self.worker.now() - record.sent_at > RENEWED)
            case Postponed(overdue):
                return self._retry(record, message, verdict, backoff(record.receive_count, self.worker.rng, overdue))

    def announced(self, batch: Sequence[tuple[SqsRecord, Handled]], announcer: "Announcer", *, time_left: int) -> list[Handled]:
        """Announce what a batch has made final. If that fails, its messages come again: they find it final, and announce it.

        So does a message that may have been received by a process which died before it announced. ``time_left`` in milliseconds.
        """
        finals = [_to_announce(record, each, self.retry_queue_arn) for record, each in batch]
        try:
            if time_left < ANNOUNCING:
                raise OutOfTime("too little time is left to announce")  # noqa: TRY301 - handled as every other failure is
            announcer.finished([final for final in finals if final is not None])
        except Exception as failure:  # noqa: BLE001 - the deliveries are made, whatever becomes of their announcements
            if isinstance(failure, InternalFailure):
                logger.error("announcements.postponed", code=failure.code, detail=str(failure))
            else:
                logger.exception("announcements.failed")
            return [
                each if final is None else self._announce_later(record, each, final)
                for (record, each), final in zip(batch, finals, strict=True)
            ]
        return [each for _, each in batch]

    def _announce_later(self, record: SqsRecord, handled: Handled, final: DeliveryRecord) -> Handled:
        if self._is_stuck(record, Postponed()) and self.dead_letters.take(record, MessageStuck()):
            return handled
        later = self._retry(record, final.message, handled.verdict, backoff(record.receive_count, self.worker.rng))
        return replace(later, unannounced=True)

    def _is_stuck(self, record: SqsRecord, verdict: Verdict) -> bool:
        return isinstance(verdict, Postponed) and self.worker.now() - record.sent_at >= DEADLINE_MAX * 1000

    def _retry(
        self,
        record: SqsRecord,
        message: DeliveryMessage | WakeMessage,
        verdict: Verdict | None,
        delay: int,
        *,
        is_moved: bool = False,
    ) -> Handled:
        """Let a message come again: it stays where it is, if that is RetryQueue and another one need not take its place."""
        try:
            if record.queue_arn == self.retry_queue_arn and not is_moved:
                self.retry_queue.give_back(record, delay)
                return Handled(record.message_id, verdict, stays=True)
            self.retry_queue.send([message.outgoing(delay)])
        except QueueUnavailable as failure:
            logger.error("delivery.kept", code=failure.code, detail=str(failure), client_id=message.client_id)
            return Handled(record.message_id, verdict, stays=True, queue_failed=True)
        return Handled(record.message_id, verdict)


def _to_announce(record: SqsRecord, handled: Handled, retry_queue_arn: str) -> DeliveryRecord | None:
    """Return the delivery of a record if it is final and may not have been announced."""
    verdict = handled.verdict
    if not isinstance(verdict, Done):
        return None
    is_new = verdict.outcome is not None or record.receive_count > 1 or record.queue_arn == retry_queue_arn
    return verdict.final if is_new else None


def count(batch: Iterable[Handled]) -> None:
    """Add a batch to the metrics. No dimension names the client: the log line does."""
    for handled in batch:
        verdict = handled.verdict
        if handled.queue_failed or handled.unannounced or isinstance(verdict, Postponed):
            metrics.add_metric("Postponed", MetricUnit.Count, 1)
        if verdict is None or isinstance(verdict, Postponed):
            continue
        outcome, measured = verdict.outcome, verdict.measured
        if outcome is not None and (measured or outcome.status not in PENDING):
            metrics.add_metric(f"Deliveries{outcome.status.capitalize()}", MetricUnit.Count, 1)
        if measured is None:
            continue
        metrics.add_metric("Attempts", MetricUnit.Count, 1)
        metrics.add_metric("SigningTime", MetricUnit.Milliseconds, measured.signing_ms)
        metrics.add_metric("PostTime", MetricUnit.Milliseconds, measured.post_ms)
        if outcome is not None and outcome.status is Status.ACCEPTED:
            metrics.add_metric("TimeToAcceptance", MetricUnit.Milliseconds, measured.since_end_ms)
