"""How the records of EventsOutQueue leave or stay."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.announcements.details import Announcement
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.event_bus import BusEvent, EventBus
from backchannel.aws.sqs import Queue, SqsRecord, backoff
from backchannel.errors import EventBusUnavailable, MessageNotUnderstood, QueueUnavailable
from backchannel.runtime.observability import logger, metrics


@dataclass(frozen=True, slots=True)
class EventsOutConsumer:
    """Puts announcements on the bus. What it does not take comes again, each time later."""

    bus: EventBus
    queue: Queue
    dead_letters: DeadLetters
    rng: Random = field(default_factory=Random)

    def handle(self, records: Sequence[SqsRecord]) -> list[SqsRecord]:
        """Announce a batch; return what stays and has to be reported as batch item failures."""
        stay: list[SqsRecord] = []
        understood: list[tuple[SqsRecord, BusEvent]] = []
        for record in records:
            try:
                message = Announcement.from_json(record.body)
            except MessageNotUnderstood as failure:
                if not self.dead_letters.take(record, failure):
                    stay.append(record)
                continue
            understood.append((record, BusEvent(message.detail_type, message.detail, message.at)))
        if understood:
            stay += self._put(understood)
        return stay

    def _put(self, understood: Sequence[tuple[SqsRecord, BusEvent]]) -> list[SqsRecord]:
        try:
            errors = self.bus.put([event for _, event in understood])
        except EventBusUnavailable as failure:
            errors = [str(failure)] * len(understood)
        refused = [(record, error) for (record, _), error in zip(understood, errors, strict=True) if error is not None]
        for record, error in refused:
            self._postpone(record, error)
        return [record for record, _ in refused]

    def _postpone(self, record: SqsRecord, error: str) -> None:
        logger.error("events_out.postponed", code=EventBusUnavailable.code, detail=error, message_id=record.message_id)
        metrics.add_metric("Postponed", MetricUnit.Count, 1)
        try:
            self.queue.give_back(record, backoff(record.receive_count, self.rng))
        except QueueUnavailable as failure:  # it comes back after the queue's visibility timeout
            logger.error("events_out.kept", code=failure.code, detail=str(failure), message_id=record.message_id)
