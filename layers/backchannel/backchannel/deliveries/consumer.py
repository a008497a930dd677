"""How a delivery waits: the first time it moves to RetryQueue, there it becomes visible again when its next attempt is due."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Outgoing, Queue, fault_delay
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.worker import Delivering, Verdict
from backchannel.errors import MessageNotUnderstood, MessageStuck, QueueUnavailable
from backchannel.providers.clients import DEADLINE_MAX
from backchannel.runtime.observability import logger, metrics


@dataclass(frozen=True, slots=True)
class Handled:
    """What was done about an SQS record; one that ``stays`` has to be reported as a batch item failure."""

    message_id: str
    stays: bool = False
    verdict: Verdict = field(default_factory=Verdict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Handles the records of both queues."""

    delivering: Delivering
    retry_queue: Queue
    retry_queue_arn: str
    dead_letters: DeadLetters

    def handle(self, record: dict[str, Any]) -> Handled:
        """Attempt the delivery of a record, and see to it that it comes again if it has to.

        When SQS cannot be told when, the record stays where it is and comes back after the queue's visibility timeout. One that
        faults of ours are in the way of for days is not left to SQS, which would forget it.
        """
        message_id: str = record["messageId"]
        try:
            message = DeliveryMessage.from_json(record["body"])
        except MessageNotUnderstood as fault:
            return Handled(message_id, stays=not self.dead_letters.take(record, fault))
        try:
            verdict = self.delivering.attempt(message)
        except Exception:  # noqa: BLE001 - the edge of one record: what nobody foresaw must not cost the others of the batch their attempts
            logger.exception("delivery.failed", logout_id=message.logout_id, client_id=message.client_id)
            verdict = Verdict(postponed=True)
        if verdict.postponed and self._age(record) >= DEADLINE_MAX and self.dead_letters.take(record, MessageStuck()):
            return Handled(message_id, verdict=verdict)
        seconds = fault_delay(record, self.delivering.rng, verdict.again) if verdict.postponed else verdict.again
        if seconds is None:
            return Handled(message_id, verdict=verdict)
        try:
            if record["eventSourceARN"] == self.retry_queue_arn:
                self.retry_queue.give_back(record["receiptHandle"], seconds)
                return Handled(message_id, stays=True, verdict=verdict)
            self.retry_queue.send([Outgoing(record["body"], (message.provider, message.client_id), seconds)])
        except QueueUnavailable as fault:
            logger.error("delivery.kept", code=fault.code, detail=str(fault), logout_id=message.logout_id)
            return Handled(message_id, stays=True, verdict=replace(verdict, postponed=True))
        return Handled(message_id, verdict=verdict)

    def _age(self, record: dict[str, Any]) -> float:
        """Return how long a record has been in its queue, in seconds."""
        return self.delivering.now() - int(record["attributes"]["SentTimestamp"]) / 1000


def count(verdicts: Iterable[Verdict]) -> None:
    """Add a batch's verdicts to the metrics. There is no dimension for the client: it stands in the log line."""
    for verdict in verdicts:
        if verdict.postponed:
            metrics.add_metric("Postponed", MetricUnit.Count, 1)
        if verdict.outcome is not None and (verdict.attempted or verdict.outcome.status not in PENDING):
            metrics.add_metric(f"Deliveries{verdict.outcome.status.capitalize()}", MetricUnit.Count, 1)
        if verdict.attempted is None:
            continue
        metrics.add_metric("Attempts", MetricUnit.Count, 1)
        metrics.add_metric("SigningTime", MetricUnit.Milliseconds, verdict.attempted.signing)
        metrics.add_metric("PostTime", MetricUnit.Milliseconds, verdict.attempted.posting)
        if verdict.outcome is not None and verdict.outcome.status is Status.ACCEPTED:
            metrics.add_metric("TimeToAcceptance", MetricUnit.Milliseconds, verdict.attempted.since_end)
