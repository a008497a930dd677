"""SQS: sending without losing any of a batch, and giving a message back until later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from random import Random
from typing import TYPE_CHECKING, Any

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import QueueUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

MAX_DELAY = 900
"""Seconds that SQS can hold a new message back."""

MAX_VISIBILITY = 43_200
"""Seconds that a received message can stay invisible."""

FAULT_DELAY, FAULT_DELAY_MAX = 10, 900
"""Seconds before a message is tried again that a fault of ours was in the way of: doubled each time, from one to the other."""

FAULT_JITTER = 0.2

_BATCH = 10
_TRIES = 4
"""How often what SendMessageBatch left over is sent again before the whole is given up."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message; ``tenant`` is whose backlog it belongs to (fair queues), ``delay`` in seconds."""

    body: str
    tenant: tuple[str, ...]
    delay: int = 0


class Queue:
    """One SQS queue."""

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def send(self, messages: Iterable[Outgoing]) -> None:
        """Send all messages, ten at a time; what a batch reports as failed is sent again.

        Raises:
            QueueUnavailable: some could not be sent; others may have been.

        """
        for batch in batched(messages, _BATCH, strict=False):
            left: Sequence[Outgoing] = batch
            for _ in range(_TRIES):
                left = self._send_batch(left)
                if not left:
                    break
            else:
                raise QueueUnavailable(f"{len(left)} messages were not taken")

    def give_back(self, receipt_handle: str, seconds: int) -> None:
        """Make a received message visible again after ``seconds``; its batch item has to be reported as failed.

        Raises:
            QueueUnavailable: it comes back when its visibility timeout ends.

        """
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt_handle, VisibilityTimeout=max(0, min(seconds, MAX_VISIBILITY))
            )
        except AWS_ERRORS as error:
            raise QueueUnavailable(aws_code(error)) from error

    def _send_batch(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(index),
                "MessageBody": message.body,
                "DelaySeconds": max(0, min(message.delay, MAX_DELAY)),
                "MessageGroupId": _group(message.tenant),
            }
            for index, message in enumerate(messages)
        ]
        try:
            answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
        except AWS_ERRORS as error:
            raise QueueUnavailable(aws_code(error)) from error
        return [messages[int(failed["Id"])] for failed in answer.get("Failed", [])]


def fault_delay(record: Mapping[str, Any], rng: Random, overdue: int | None = None) -> int:
    """Return how long an SQS record waits that a fault of ours was in the way of: longer each time, in seconds.

    It is received for other reasons, too; if it is known for how long it has been ``overdue``, it waits as long again at most.
    """
    received = int(record["attributes"]["ApproximateReceiveCount"])
    delay = min(FAULT_DELAY << min(received - 1, 10), FAULT_DELAY_MAX)
    if overdue is not None:
        delay = min(delay, max(overdue, FAULT_DELAY))
    return round(delay * rng.uniform(1 - FAULT_JITTER, 1 + FAULT_JITTER))


def _group(tenant: tuple[str, ...]) -> str:
    """Name a tenant in the characters and the length that a MessageGroupId may have."""
    return hashlib.sha256("#".join(tenant).encode()).hexdigest()
