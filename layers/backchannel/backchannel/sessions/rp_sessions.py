"""RP sessions, and which logins in them an end is about."""

from dataclasses import dataclass

from backchannel.reasons import Reason
from backchannel.sessions.events import CLOCK_TOLERANCE, Ended, MassEnd, is_whole_session


@dataclass(frozen=True, slots=True)
class RpSession:
    """A client has a session for a subject within a provider session; ``sid`` None where the provider has no ``sid``.

    An empty ``sub``: all that is known of the session is a logout token of the provider's, which has none.

    ``started_at`` is the latest login. Logins within one session fall on one item, so ``logged_in_since`` is the earliest one
    that nobody has told the client of; None if that is the latest. ``part_of`` is the run that last claimed older logins
    alone, ``claimed_by`` are the logouts that have claimed any. ``untimed``: the start carried no time of its own, and
    ``started_at`` is the time of receipt. ``expires_at`` is when the session ends by itself, ``ended_by`` names the logout that
    took care of it, ``fanout_id`` the run of that logout that did, ``reason`` why it ended.
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
    logged_in_since: int | None = None
    part_of: str | None = None
    claimed_by: frozenset[str] = frozenset()
    untimed: bool = False
    reason: Reason | None = None


def last_covered(event: Ended) -> int:
    """Return the latest time of a login that an end covers.

    The end of a whole provider session allows for clocks that differ: what the session's own logins say of their time is
    compared with what its end says, and identity providers have used a ``sid`` again for a later login, which lives.
    """
    return event.ended_at + (CLOCK_TOLERANCE if is_whole_session(event) else 0)


def is_covered(session: RpSession, event: Ended) -> bool:
    """Whether an end of this RP session's provider session, or of its subject, is about any login in it."""
    if event.client_id is not None and event.client_id != session.client_id:
        return False
    since = session.started_at if session.logged_in_since is None else session.logged_in_since
    return since <= last_covered(event) or not has_newer_login(session, event)


def has_newer_login(session: RpSession, event: Ended) -> bool:
    """Whether the latest login came after the end. One without a time of its own belongs to the session that ended."""
    return session.started_at > last_covered(event) and not (session.untimed and is_whole_session(event))


def end_in_mass(session: RpSession, mass: MassEnd) -> Ended:
    """Return the end by which a mass logout ends an RP session."""
    if session.sub or session.sid is None:
        return mass.of(session.sub)
    return mass.of_nobody(session.sid, session.client_id)
