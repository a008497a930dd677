"""Messages that nobody can do anything with: put where they alarm at once, instead of after hundreds of receives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backchannel.aws.sqs import Outgoing, Queue
from backchannel.errors import OurFault, QueueUnavailable
from backchannel.runtime.observability import logger


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter queue of a function's queues."""

    queue: Queue

    def take(self, record: Mapping[str, Any], fault: OurFault) -> bool:
        """Take an SQS record over; False when it has to stay where it is."""
        logger.error("message.dead_lettered", code=fault.code, detail=str(fault), message_id=record["messageId"])
        try:
            self.queue.send([Outgoing(record["body"], ("dead_letters",))])
        except QueueUnavailable:
            return False
        return True
