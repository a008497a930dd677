"""Session events taken in: starts are stored, ends are queued. What webhooks and the operator's interface have in common."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from backchannel.messages import EndMessage
from backchannel.queues import Outgoing, Queue
from backchannel.session_events import Ended, RpSessionStarted, SessionEvent, logout_id
from backchannel.sessions import Sessions


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

    def take(self, provider: str, issuer: str, events: Iterable[SessionEvent], now: int) -> Taken:
        """Store and queue all events; once this returns, nothing of them can be lost.

        Raises:
            OurFault: not all were; the same events can be taken in again.

        """
        messages: list[EndMessage] = []
        started = 0
        for event in events:
            if not isinstance(event, RpSessionStarted):
                messages.append(end_message(provider, issuer, event))
                continue
            started += 1
            if (ended := self._sessions.start(issuer, event, now)) is not None:
                messages.append(end_message(provider, issuer, ended, only_client_id=event.client_id))
        self._queue.send(Outgoing(message.to_json(), tenant=(provider,)) for message in messages)
        return Taken(started, len(messages))


def end_message(provider: str, issuer: str, event: Ended, *, only_client_id: str | None = None) -> EndMessage:
    """Return the message that has an end carried out, by a run of its own."""
    return EndMessage.of(
        event,
        provider=provider,
        logout_id=logout_id(issuer, event),
        fanout_id=str(uuid.uuid4()),
        only_client_id=only_client_id,
    )
