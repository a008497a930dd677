"""From a sender's session id to a ``sid``. A ``sid`` must be the one in the provider's ID tokens; otherwise there is none."""

import hashlib

from backchannel.errors import IdentifierInvalidError
from backchannel.reasons import Cause, Reason
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded, subject
from backchannel.webhooks.request import Context, SidTrust


def trusted_sid(session_id: str | None, sid_trust: SidTrust) -> str | None:
    """Return the ``sid`` that a session id stands for, or None."""
    if session_id is None or sid_trust == "none":
        return None
    return hashlib.sha256(session_id.encode()).hexdigest() if sid_trust == "sha256" else session_id


def end_of_session(
    context: Context,
    *,
    sid: str,
    sub: object,
    ended_at: int,
    source_event_id: str,
    client_id: str | None = None,
    reason: Reason | None = None,
    cause: Cause | None = None,
) -> Ended | None:
    """Return the end of one session. If its id is not trusted, return the end of all its subject's sessions, if that is known.

    Beside a trusted ``sid``, a ``sub`` that is none does not matter.

    Raises:
        IdentifierInvalidError: the session can be ended by ``sub`` alone, and that is none.

    """
    trusted = trusted_sid(sid, context.sid_trust)
    if trusted is not None:
        unmatched_sub = _subject_or_none(sub) if context.unmatched_sid == "end_subject" else None
        return SessionEnded(trusted, ended_at, source_event_id, client_id, reason, unmatched_sub, cause)
    if sub is not None:
        return SubjectSessionsEnded(subject(sub), ended_at, source_event_id, client_id, reason, cause)
    return None


def _subject_or_none(sub: object) -> str | None:
    try:
        return subject(sub)
    except IdentifierInvalidError:
        return None
