"""Where session events come in, from webhooks and from the operator: starts are stored, ends are queued."""

import functools
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from backchannel.aws.sqs import Queue
from backchannel.providers.table import Provider
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEvent, logout_id
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions

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
        self, provider: Provider, events: Iterable[SessionEvent], now: int, *, reopen: bool = False, passes_on: bool = False
    ) -> Taken:
        """Store and queue all events; once this returns, none can be lost. ``passes_on``: tokens are kept for the ends.

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
        messages += [end_message(provider.provider, provider.issuer, each, reopen=reopen, passes_on=passes_on) for each in ends]
        self._queue.send(message.outgoing() for message in messages)
        return Taken(len(starts), len(messages))

    def _start_all(self, provider: Provider, starts: Sequence[RpSessionStarted], now: int) -> list[EndMessage]:
        """Store starts, several at a time. If one cannot be stored, those that nobody has begun are left."""
        start = functools.partial(self._start, provider, now=now)
        if len(starts) <= 1:
            found = [start(each) for each in starts]
        else:
            with ThreadPoolExecutor(_CONCURRENCY) as pool:
                found = [*pool.map(start, starts)]
        return [message for messages in found for message in messages]

    def _start(self, provider: Provider, event: RpSessionStarted, now: int) -> list[EndMessage]:
        """Store a start; if its end came first, return the message that carries that end out for this client."""
        if event.expires_at is None and provider.session_lifetime is not None:
            event = replace(event, expires_at=event.started_at + provider.session_lifetime * 1000)
        ended = self._sessions.start(provider.issuer, event, now)
        if ended is None:
            return []
        return [end_message(provider.provider, provider.issuer, ended, only_client_id=event.client_id)]


def end_message(
    provider: str,
    issuer: str,
    event: Ended,
    *,
    only_client_id: str | None = None,
    reopen: bool = False,
    passes_on: bool = False,
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
    )
