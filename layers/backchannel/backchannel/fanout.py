"""Who gets which token: from the RP sessions that an end covers to the deliveries it needs."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from backchannel.outcomes import Status
from backchannel.session_events import Ended, SessionEnded, is_whole_session


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """One logout token for one client: for one ``sid``, or with ``sid`` None for the whole subject.

    ``sub`` is the provider's, ``client_sub`` the one that the client knows where that differs. ``started_at`` is the RP session's
    that a ``sid`` stands for at the moment.
    """

    client_id: str
    sid: str | None
    sub: str
    client_sub: str | None = None
    status: Status = Status.QUEUED
    started_at: int | None = field(default=None, compare=False)


def is_covered(session: RpSession, event: Ended) -> bool:
    """Whether this end is about this RP session, given that it is about its provider session or its subject."""
    if event.client_id is not None and event.client_id != session.client_id:
        return False
    return is_whole_session(event) or session.started_at <= event.ended_at


def deliveries(event: Ended, sessions: Iterable[RpSession], sid_required: Collection[str]) -> list[Delivery]:
    """Return the deliveries for RP sessions that this end covers; ``sid_required`` names the clients that insist on ``sid``.

    The end of a session gives each of its RPs a token of its own. The end of a subject's sessions gives each RP one token with
    ``sub`` alone, but one for each session to an RP that insists on ``sid``; where no ``sid`` is known it cannot be told.
    """
    if isinstance(event, SessionEnded):
        return [_of(session, session.sid) for session in sessions]
    found: dict[tuple[str, str | None], Delivery] = {}
    for session in sessions:
        if session.client_id not in sid_required:
            delivery = _of(session, None)
        elif session.sid is not None:
            delivery = _of(session, session.sid)
        else:
            delivery = _of(session, None, Status.UNADDRESSABLE)
        found.setdefault((delivery.client_id, delivery.sid), delivery)
    return list(found.values())


def _of(session: RpSession, sid: str | None, status: Status = Status.QUEUED) -> Delivery:
    started_at = None if sid is None else session.started_at
    return Delivery(session.client_id, sid, session.sub, session.client_sub, status, started_at)
