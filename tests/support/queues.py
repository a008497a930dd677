"""A queue in memory."""

from collections.abc import Iterable

from backchannel.aws.sqs import Outgoing, Queue, SqsRecord
from backchannel.errors import QueueUnavailable


class FakeQueue(Queue):
    """Keeps what is sent and what is given back; a broken one takes neither."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.sent: list[Outgoing] = []
        self.given_back: list[tuple[str, int]] = []

    def send(self, messages: Iterable[Outgoing]) -> None:
        if self.broken:
            raise QueueUnavailable("ThrottlingException")
        self.sent.extend(messages)

    def give_back(self, record: SqsRecord, delay: int) -> None:
        if self.broken:
            raise QueueUnavailable("ThrottlingException")
        self.given_back.append((record.receipt_handle, delay))
