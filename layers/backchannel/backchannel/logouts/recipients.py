"""Who gets which token: from the RP sessions that an end covers to the deliveries it needs."""

from collections.abc import Collection, Iterable

from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import PlannedDelivery
from backchannel.sessions.events import Ended, SessionEnded
from backchannel.sessions.rp_sessions import RpSession


def planned_deliveries(event: Ended, sessions: Iterable[RpSession], sid_required: Collection[str]) -> list[PlannedDelivery]:
    """Return the deliveries for RP sessions that this end covers; ``sid_required`` names the clients that insist on ``sid``.

    The end of a session gives each of its RPs a token of its own. The end of a subject's sessions gives each RP one token with
    ``sub`` alone, but one for each session to an RP that insists on ``sid``; where no ``sid`` is known it cannot be told.
    """
    if isinstance(event, SessionEnded):
        return [_of(session, session.sid) for session in sessions]
    found: dict[tuple[str, str | None], PlannedDelivery] = {}
    for session in sessions:
        if session.client_id not in sid_required:
            delivery = _of(session, None)
        elif session.sid is not None:
            delivery = _of(session, session.sid)
        else:
            delivery = _of(session, None, Status.UNADDRESSABLE)
        found.setdefault((delivery.client_id, delivery.sid), delivery)
    return list(found.values())


def _of(session: RpSession, sid: str | None, status: Status = Status.QUEUED) -> PlannedDelivery:
    started_at = None if sid is None else session.started_at
    return PlannedDelivery(session.client_id, sid, session.sub, session.client_sub, status, started_at)
