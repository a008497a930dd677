"""Session events taken in: starts are stored, ends are queued. What webhooks and the operator's interface have in common."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from backchannel.aws.sqs import Outgoing, Queue
from backchannel.providers.table import Provider
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEvent, logout_id
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions


@dataclass(frozen=True, slots=True)
class Taken:
    """How many starts were stored and how many ends were queued, those of starts that came too late among them."""

    started: int = 0
    ended: int = 0


class Intake:
    """Takes in the events of one provider after the other."""

    def __init__(self, sessions: Sessions, session_ended_queue: Queue) -> None:
        self._sessions = sessions
        self._queue = session_ended_queue

    def take(self, provider: Provider, events: Iterable[SessionEvent], now: int) -> Taken:
        """Store and queue all events; once this returns, nothing of them can be lost.

        Raises:
            InternalFailure: not all were; the same events can be taken in again.

        """
        messages: list[EndMessage] = []
        started = 0
        for event in events:
            if isinstance(event, RpSessionStarted):
                started += 1
                messages += self._start(provider, event, now)
            else:
                messages.append(end_message(provider.provider, provider.issuer, event))
        self._queue.send(Outgoing(message.to_json(), tenant=(provider.provider,)) for message in messages)
        return Taken(started, len(messages))

    def _start(self, provider: Provider, event: RpSessionStarted, now: int) -> list[EndMessage]:
        """Store a start; return the end that has to be carried out for it again, if it came too late."""
        if event.expires_at is None and provider.session_lifetime is not None:
            event = replace(event, expires_at=event.started_at + provider.session_lifetime * 1000)
        ended = self._sessions.start(provider.issuer, event, now)
        if ended is None:
            return []
        return [end_message(provider.provider, provider.issuer, ended, only_client_id=event.client_id)]


def end_message(provider: str, issuer: str, event: Ended, *, only_client_id: str | None = None) -> EndMessage:
    """Return the message that has an end carried out, by a run of its own."""
    return EndMessage.of(
        event,
        provider=provider,
        logout_id=logout_id(issuer, event),
        fanout_id=str(uuid.uuid4()),
        only_client_id=only_client_id,
    )
