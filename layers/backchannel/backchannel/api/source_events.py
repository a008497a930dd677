"""SourceEventsQueue: events of sources that do not come over HTTP, and large batches that did.

| message | from |
|---|---|
| ``provider``, ``source``, ``event`` | an EventBridge rule of this account, with an event that AWS IAM proves |
| ``issuer``, ``event`` | `cognito_sign_in`, with a sign-in at the user pool of this issuer |
| ``provider``, ``issuer``, ``source``, ``events`` | `webhook`, with what it has proven, read and counted |

What cannot be understood, and what the source's format refuses, becomes a dead letter: nobody would send it again.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.api.source_intake import SourceIntake
from backchannel.api.webhooks import session_events
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord, backoff
from backchannel.errors import (
    BackchannelError,
    CallerError,
    MessageNotUnderstood,
    NotFoundError,
    QueueUnavailable,
    SignatureInvalidError,
)
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider, Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.handed_on import HandedOn
from backchannel.strict_json import read
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Proven

SIGN_INS = "cognito"
"""The format of the source that sign-ins count for."""


@dataclass(frozen=True, slots=True)
class SourceEventsConsumer:
    """Takes in the messages. ``provider``, ``source``, ``of_sign_ins`` and ``client`` read the configuration; may be cached."""

    provider: Callable[[str], Provider]
    source: Callable[[str, str], Source]
    of_sign_ins: Callable[[str], tuple[Provider, Source]]
    client: Callable[[str, str], Client]
    intake: SourceIntake
    queue: Queue
    dead_letters: DeadLetters
    rng: Random = field(default_factory=Random)
    now: Callable[[], int] = lambda: round(time.time() * 1000)

    def handle(self, record: SqsRecord) -> bool:
        """Take a message in; False if its record stays and has to be reported as a batch item failure."""
        try:
            self._take(record)
        except (MessageNotUnderstood, CallerError) as error:
            return self.dead_letters.take(record, error, **_named(record.body))
        except Exception as error:  # noqa: BLE001 - the edge of one record: it must not cost the rest of the batch
            self._postpone(record, error)
            return False
        return True

    def _take(self, record: SqsRecord) -> None:
        """Raises CallerError: its source refuses the event, or there is no such source."""
        message = _read(record.body)
        if "events" in message:
            self._take_handed_on(HandedOn.read(message))
            return
        proven = Proven(json.dumps(_member(message, "event", dict)).encode())
        provider, source = self._sender(message)
        try:
            if not FORMATS[source.format].by_iam:
                raise SignatureInvalidError("the senders of this source have to prove themselves over HTTP")
            parsed = session_events(proven, provider, source, self.client, record.sent_at)
        except CallerError as error:
            self.intake.counter.refused(provider.provider, source.source, error.code, self.now())
            raise
        self.intake.take(provider, source, parsed, self.now())

    def _sender(self, message: Mapping[str, Any]) -> tuple[Provider, Source]:
        if "issuer" in message:
            return self.of_sign_ins(_member(message, "issuer", str))
        names = _member(message, "provider", str), _member(message, "source", str)
        return self.provider(names[0]), self.source(*names)

    def _take_handed_on(self, handed_on: HandedOn) -> None:
        provider = self.provider(handed_on.provider)
        if provider.issuer != handed_on.issuer:
            raise NotFoundError.of("provider of issuer", handed_on.issuer)
        self.intake.take_counted(provider, handed_on.source, handed_on.events, self.now())

    def _postpone(self, record: SqsRecord, error: Exception) -> None:
        if isinstance(error, BackchannelError):
            logger.error("source_events.postponed", code=error.code, detail=str(error), message_id=record.message_id)
        else:
            logger.exception("source_events.failed", message_id=record.message_id)
        metrics.add_metric("Postponed", MetricUnit.Count, 1)
        try:
            self.queue.give_back(record, backoff(record.receive_count, self.rng))
        except QueueUnavailable as failure:  # it comes back after the queue's visibility timeout
            logger.error("source_events.kept", code=failure.code, detail=str(failure), message_id=record.message_id)


def source_of_sign_ins(providers: Providers, issuer: str) -> tuple[Provider, Source]:
    """Return the provider of a user pool's issuer, and the first of its sources that can read sign-ins.

    Raises:
        NotFoundError: there is none.

    """
    provider = providers.by_issuer(issuer)
    for source in providers.sources(provider.provider):
        if source.format == SIGN_INS:
            return provider, source
    raise NotFoundError.of("source for sign-ins at provider", provider.provider)


def _read(body: str) -> Mapping[str, Any]:
    """Return a message; its event may hold half of a surrogate pair, as in a text that somebody has cut off."""
    try:
        message = read(body)
        json.dumps({**message, "event": None}, ensure_ascii=False).encode()
    except (ValueError, TypeError) as error:
        raise MessageNotUnderstood("not a message of SourceEventsQueue") from error
    return cast("Mapping[str, Any]", message)


def _named(body: str) -> dict[str, str]:
    """Return the provider and the source that a message names, if it does."""
    try:
        message = _read(body)
    except MessageNotUnderstood:
        return {}
    return {name: message[name] for name in ("provider", "source") if isinstance(message.get(name), str)}


def _member(message: Mapping[str, Any], name: str, kind: type) -> Any:
    value = message.get(name)
    if not isinstance(value, kind):
        raise MessageNotUnderstood(f"{name} is missing or of another type")
    return value
