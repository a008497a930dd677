"""How the records of DeliveryQueue and RetryQueue leave, move or stay.

The first time that a delivery has to wait, it moves to RetryQueue. There it becomes visible again when its next attempt is due.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord, backoff
from backchannel.deliveries.messages import DeliveryMessage, WakeMessage, read
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.slow_clients import SlowClients
from backchannel.deliveries.verdicts import Done, Postponed, RetryIn, Verdict
from backchannel.deliveries.waking import Waker
from backchannel.deliveries.worker import DeliveryWorker
from backchannel.errors import InternalFailure, MessageNotUnderstood, MessageStuck, QueueUnavailable
from backchannel.providers.clients import DEADLINE_MAX
from backchannel.runtime.observability import logger, metrics

_ANSWERED = "http_"
"""How the code of an outcome begins if the RP answered."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What was done about a record; one that ``stays`` has to be reported as a batch item failure.

    ``verdict`` is None if no attempt was asked for: the message is not understood, or it is moved to the slow lane.

    ``queue_failed``: SQS could not be told when the record has to come again.
    """

    message_id: str
    verdict: Verdict | None
    stays: bool = False
    queue_failed: bool = False


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
                return self._retry(record, message, verdict, delay)
            case Postponed(overdue):
                return self._retry(record, message, verdict, backoff(record.receive_count, self.worker.rng, overdue))

    def _is_stuck(self, record: SqsRecord, verdict: Verdict) -> bool:
        return isinstance(verdict, Postponed) and self.worker.now() - record.sent_at >= DEADLINE_MAX * 1000

    def _retry(self, record: SqsRecord, message: DeliveryMessage | WakeMessage, verdict: Verdict | None, delay: int) -> Handled:
        try:
            if record.queue_arn == self.retry_queue_arn:
                self.retry_queue.give_back(record, delay)
                return Handled(record.message_id, verdict, stays=True)
            self.retry_queue.send([message.outgoing(delay)])
        except QueueUnavailable as failure:
            logger.error("delivery.kept", code=failure.code, detail=str(failure), client_id=message.client_id)
            return Handled(record.message_id, verdict, stays=True, queue_failed=True)
        return Handled(record.message_id, verdict)


def count(batch: Iterable[Handled]) -> None:
    """Add a batch to the metrics. No dimension names the client: the log line does."""
    for handled in batch:
        verdict = handled.verdict
        if handled.queue_failed or isinstance(verdict, Postponed):
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
