"""RP sessions, and which of them an end is about."""

from dataclasses import dataclass

from backchannel.sessions.events import Ended, is_whole_session


@dataclass(frozen=True, slots=True)
class RpSession:
    """A client has a session for a subject within a provider session; ``sid`` None where the provider has no ``sid``.

    ``expires_at`` is when it ends by itself, ``ended_by`` names the logout that took care of it, ``fanout_id`` the run of
    that logout that did.
    """

    client_id: str
    sub: str
    started_at: int
    sid: str | None = None
    client_sub: str | None = None
    ended_by: str | None = None
    fanout_id: str | None = None
    ended_at: int | None = None
    expires_at: int | None = None


def is_covered(session: RpSession, event: Ended) -> bool:
    """Whether an end of this RP session's provider session, or of its subject, covers the RP session itself."""
    if event.client_id is not None and event.client_id != session.client_id:
        return False
    return is_whole_session(event) or session.started_at <= event.ended_at
