"""Where session events come in, from webhooks and from the operator: starts are stored, ends are queued."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import batched

from backchannel.aws.sqs import Queue
from backchannel.providers.table import Provider
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEvent, logout_id
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import STARTS_AT_ONCE, Sessions

_CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class Taken:
    """How many starts were stored and how many ends were queued, including those of starts that came after their end."""

    started: int = 0
    ended: int = 0


class Intake:
    """Stores starts in SessionsTable and sends ends to SessionEndedQueue."""

    def __init__(self, sessions: Sessions, session_ended_queue: Queue) -> None:
        self._sessions = sessions
        self._queue = session_ended_queue

    def take(
        self,
        provider: Provider,
        events: Iterable[SessionEvent],
        now: int,
        *,
        reopen: bool = False,
        passes_on: Collection[str] = (),
        source: str | None = None,
        requested_by: str | None = None,
    ) -> Taken:
        """Store and queue all events; once this returns, none can be lost.

        ``passes_on``: clients for which tokens are kept that nobody may be about to send. ``source`` has sent the events, None if
        they are not those of a webhook; ``requested_by`` is the operator who asks for the ends.

        Raises:
            InternalFailure: some may not be stored; the same events can be taken in again.

        """
        starts: list[RpSessionStarted] = []
        ends: list[Ended] = []
        for event in events:
            if isinstance(event, RpSessionStarted):
                starts.append(event)
            else:
                ends.append(event)
        messages = self._start_all(provider, starts, now)
        ended = len(messages) + len(ends)
        for end in ends:
            clients: list[str | None] = [each for each in passes_on if end.client_id in {None, each}]
            messages += (
                end_message(
                    provider.provider,
                    provider.issuer,
                    end,
                    reopen=reopen,
                    passes_on=each,
                    source=source,
                    requested_by=requested_by,
                )
                for each in clients or [None]
            )
        self._queue.send(message.outgoing() for message in messages)
        return Taken(len(starts), ended)

    def _start_all(self, provider: Provider, starts: Sequence[RpSessionStarted], now: int) -> list[EndMessage]:
        """Store starts; of those whose end came first, return the messages that carry that end out for their clients."""
        events = [_with_expiry(each, provider.session_lifetime) for each in starts]
        if len(events) == 1:
            ended = self._sessions.start(provider.issuer, events[0], now)
            covered = [] if ended is None else [(events[0], ended)]
        else:
            covered = self._start_many(provider.issuer, events, now)
        return [
            end_message(provider.provider, provider.issuer, ended, only_client_id=event.client_id) for event, ended in covered
        ]

    def _start_many(self, issuer: str, events: Sequence[RpSessionStarted], now: int) -> list[tuple[RpSessionStarted, Ended]]:
        """Store starts, several batches at a time. After an internal failure, those that nobody has begun are left."""
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            batches = pool.map(
                lambda batch: self._sessions.start_many(issuer, batch, now), batched(events, STARTS_AT_ONCE, strict=False)
            )
            return [covered for batch in batches for covered in batch]


def _with_expiry(event: RpSessionStarted, session_lifetime: int | None) -> RpSessionStarted:
    if event.expires_at is not None or session_lifetime is None:
        return event
    return replace(event, expires_at=event.started_at + session_lifetime * 1000)


def end_message(
    provider: str,
    issuer: str,
    event: Ended,
    *,
    only_client_id: str | None = None,
    reopen: bool = False,
    passes_on: str | None = None,
    source: str | None = None,
    requested_by: str | None = None,
) -> EndMessage:
    """Return the message that starts a run of an end's fan-out."""
    return EndMessage.of(
        event,
        provider=provider,
        issuer=issuer,
        logout_id=logout_id(issuer, event),
        fanout_id=str(uuid.uuid4()),
        only_client_id=only_client_id,
        reopen=reopen,
        passes_on=passes_on,
        source=source,
        requested_by=requested_by,
    )
