"""What travels through SessionEndedQueue and MassLogoutEndedQueue."""

from dataclasses import dataclass
from typing import Any, Self

from backchannel.aws.messages import Message
from backchannel.errors import MessageNotUnderstood
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded


@dataclass(frozen=True, slots=True)
class EndMessage(Message):
    """The end of a session, to be carried out as the logout ``logout_id``.

    ``fanout_id`` names this run, so that it recognises its own work when the message is delivered again. ``only_client_id``
    narrows the run to one client, for a start that came after its end; ``sweep`` marks the delayed second look; ``reopen``
    tells RP sessions again that another logout has taken care of in vain. ``passes_on`` names a client for which a token of the
    provider's is kept that nobody may be about to send.
    Who asks for it is the ``source`` whose webhook it was, which is told if nobody is found, or the operator ``requested_by``.
    ``mass_logout`` is the one that this is a part of. ``only_announces``: all of it is done, but the event bus was not told.
    """

    provider: str
    logout_id: str
    fanout_id: str
    ended_at: int
    source_event_id: str
    sid: str | None = None
    sub: str | None = None
    client_id: str | None = None
    reason: str | None = None
    unmatched_sub: str | None = None
    issuer: str | None = None
    only_client_id: str | None = None
    sweep: bool = False
    reopen: bool = False
    passes_on: str | None = None
    source: str | None = None
    requested_by: str | None = None
    mass_logout: str | None = None
    only_announces: bool = False

    @property
    def is_listed(self) -> bool:
        """Whether its logout is in the list of logouts: somebody asked for this very one."""
        return self.mass_logout is None and (self.source is not None or self.requested_by is not None)

    @property
    def tenant(self) -> tuple[str]:
        return (self.provider,)

    @property
    def event(self) -> Ended:
        """The session event.

        Raises:
            MessageNotUnderstood: neither ``sid`` nor ``sub``.

        """
        reason = Reason.read(self.reason)
        if self.sid is not None:
            return SessionEnded(self.sid, self.ended_at, self.source_event_id, self.client_id, reason, self.unmatched_sub)
        if self.sub is not None:
            return SubjectSessionsEnded(self.sub, self.ended_at, self.source_event_id, self.client_id, reason)
        raise MessageNotUnderstood("neither sid nor sub")

    @classmethod
    def of(cls, event: Ended, **members: Any) -> Self:
        """Make the message of an event."""
        return cls(
            sid=event.sid if isinstance(event, SessionEnded) else None,
            sub=None if isinstance(event, SessionEnded) else event.sub,
            ended_at=event.ended_at,
            source_event_id=event.source_event_id,
            client_id=event.client_id,
            reason=event.reason,
            unmatched_sub=event.unmatched_sub if isinstance(event, SessionEnded) else None,
            **members,
        )
