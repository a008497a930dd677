"""Messages that retrying cannot help: sent straight to the dead-letter queue, whose alarm tells the operator."""

from dataclasses import dataclass

from backchannel.aws.sqs import Outgoing, Queue, SqsRecord
from backchannel.errors import BackchannelError, QueueUnavailable
from backchannel.runtime.observability import logger


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter queue of a function's queues."""

    queue: Queue

    def take(self, record: SqsRecord, failure: BackchannelError) -> bool:
        """Copy a message to the dead-letter queue; False if that failed and it has to stay where it is."""
        logger.error("message.dead_lettered", code=failure.code, detail=str(failure), message_id=record.message_id)
        try:
            self.queue.send([Outgoing(record.body, ("dead_letters",))])
        except QueueUnavailable:
            return False
        return True
