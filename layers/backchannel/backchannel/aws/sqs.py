"""SQS: received messages, sending without losing any of a batch, and giving a message back until later.

Delays are in milliseconds, as everywhere; SQS counts whole seconds, so they are rounded up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Self

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import QueueUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

MAX_DELAY = 900_000
"""The longest that SQS holds a new message back."""

MAX_VISIBILITY = 43_200_000
"""The longest that a received message can stay invisible."""

BACKOFF, BACKOFF_MAX = 10_000, 900_000
"""The first and the longest delay after an internal failure; each is twice the one before."""

JITTER = 0.2

_BATCH = 10
_BATCH_OCTETS = 262_144
"""Octets of all messages of one call: a quarter of what SQS takes, since others take no more."""

_TRIES = 4
"""How often what SendMessageBatch left over is sent again before the whole is given up."""


@dataclass(frozen=True, slots=True)
class SqsRecord:
    """A message as Lambda hands it over; ``sent_at`` is when it was first sent to its queue, in milliseconds since the epoch."""

    message_id: str
    body: str
    receipt_handle: str
    queue_arn: str
    receive_count: int
    sent_at: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Read one of the ``Records`` of an SQS event."""
        return cls(
            message_id=record["messageId"],
            body=record["body"],
            receipt_handle=record["receiptHandle"],
            queue_arn=record["eventSourceARN"],
            receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
            sent_at=int(record["attributes"]["SentTimestamp"]),
        )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent; ``tenant`` is whose backlog it belongs to (fair queues)."""

    body: str
    tenant: tuple[str, ...]
    delay: int = 0


class Queue:
    """One SQS queue."""

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def send(self, messages: Iterable[Outgoing]) -> None:
        """Send all messages, ten at a time, or fewer if they are long; what a batch reports as failed is sent again.

        Raises:
            QueueUnavailable: some could not be sent; others may have been.

        """
        for batch in _batches(messages):
            left: Sequence[Outgoing] = batch
            for _ in range(_TRIES):
                left = self._send_batch(left)
                if not left:
                    break
            else:
                raise QueueUnavailable(f"{len(left)} messages were not taken")

    def give_back(self, record: SqsRecord, delay: int) -> None:
        """Make a received message visible again after ``delay``; its batch item has to be reported as failed.

        Raises:
            QueueUnavailable: it comes back when its visibility timeout ends.

        """
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=record.receipt_handle, VisibilityTimeout=_seconds(delay, MAX_VISIBILITY)
            )
        except AWS_ERRORS as error:
            raise QueueUnavailable(aws_code(error)) from error

    def _send_batch(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(index),
                "MessageBody": message.body,
                "DelaySeconds": _seconds(message.delay, MAX_DELAY),
                "MessageGroupId": _group(message.tenant),
            }
            for index, message in enumerate(messages)
        ]
        try:
            answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
        except AWS_ERRORS as error:
            raise QueueUnavailable(aws_code(error)) from error
        return [messages[int(failed["Id"])] for failed in answer.get("Failed", [])]


def _batches(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    octets = 0
    for message in messages:
        size = len(message.body.encode())
        if batch and (len(batch) == _BATCH or octets + size > _BATCH_OCTETS):
            yield batch
            batch, octets = [], 0
        batch.append(message)
        octets += size
    if batch:
        yield batch


def backoff(receive_count: int, rng: Random, overdue: int | None = None) -> int:
    """Return the delay before a message is tried again that an internal failure held up: longer each time.

    A message is also received for other reasons. If its work is known to be ``overdue``, it waits at most as long again.
    """
    delay = min(BACKOFF << min(receive_count - 1, 10), BACKOFF_MAX)
    if overdue is not None:
        delay = min(delay, max(overdue, BACKOFF))
    return round(delay * rng.uniform(1 - JITTER, 1 + JITTER))


def _seconds(delay: int, longest: int) -> int:
    return -(-max(0, min(delay, longest)) // 1000)


def _group(tenant: tuple[str, ...]) -> str:
    """Name a tenant in the characters and the length that a MessageGroupId may have."""
    return hashlib.sha256("#".join(tenant).encode()).hexdigest()
