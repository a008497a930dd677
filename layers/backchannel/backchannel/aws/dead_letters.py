"""Messages that retrying cannot help: sent straight to the dead-letter queue, whose alarm tells the operator."""

from dataclasses import dataclass

from backchannel.aws.sqs import Outgoing, Queue, SqsRecord
from backchannel.errors import BackchannelError, QueueUnavailable
from backchannel.runtime.observability import logger


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter queue of a function's queues."""

    queue: Queue

    def take(self, record: SqsRecord, failure: BackchannelError, **named: str) -> bool:
        """Copy a message to the dead-letter queue; False if that failed and it has to stay where it is.

        ``named`` goes into the log: whom the message is about.
        """
        said = {"code": failure.code, "detail": str(failure), "message_id": record.message_id, **named}
        logger.error("message.dead_lettered", extra=said)
        try:
            self.queue.send([Outgoing(record.body, ("dead_letters",))])
        except QueueUnavailable:
            return False
        return True
