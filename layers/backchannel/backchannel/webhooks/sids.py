"""From a sender's session id to a ``sid``. A ``sid`` must be the one in the provider's ID tokens; otherwise there is none."""

import hashlib

from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.webhooks.request import SidTrust


def trusted_sid(session_id: str | None, sid_trust: SidTrust) -> str | None:
    """Return the ``sid`` that a session id stands for, or None."""
    if session_id is None or sid_trust == "none":
        return None
    return hashlib.sha256(session_id.encode()).hexdigest() if sid_trust == "sha256" else session_id


def end_of_session(
    *,
    sid: str,
    sub: str | None,
    ended_at: int,
    source_event_id: str,
    sid_trust: SidTrust,
    client_id: str | None = None,
    reason: str | None = None,
) -> Ended | None:
    """Return the end of one session. If its id is not trusted, return the end of all its subject's sessions, if that is known."""
    trusted = trusted_sid(sid, sid_trust)
    if trusted is not None:
        return SessionEnded(trusted, ended_at, source_event_id, client_id, reason)
    if sub is not None:
        return SubjectSessionsEnded(sub, ended_at, source_event_id, client_id, reason)
    return None
