"""Who gets which token: from the RP sessions that an end covers to the deliveries it needs."""

from collections.abc import Collection, Iterable

from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import PlannedDelivery
from backchannel.providers.clients import Client
from backchannel.sessions.events import Ended, SessionEnded
from backchannel.sessions.rp_sessions import RpSession, has_newer_login


def planned_deliveries(event: Ended, sessions: Iterable[RpSession], sid_required: Collection[str]) -> list[PlannedDelivery]:
    """Return the deliveries for RP sessions that this end covers; ``sid_required`` names the clients that insist on ``sid``.

    When a session ends, each of its RPs gets one token. When all sessions of a subject end, each RP gets one token with ``sub``
    alone; an RP that insists on ``sid`` gets one for each session, and cannot be told of a session without ``sid``.
    """
    if isinstance(event, SessionEnded):
        return [_of(event, session, session.sid) for session in sessions]
    found: dict[tuple[str, str | None], PlannedDelivery] = {}
    for session in sessions:
        if session.client_id not in sid_required:
            delivery = _of(event, session, None)
        elif session.sid is not None:
            delivery = _of(event, session, session.sid)
        else:
            delivery = _of(event, session, None, Status.UNADDRESSABLE)
        found.setdefault((delivery.client_id, delivery.sid), delivery)
    return list(found.values())


def delivery_without_session(event: Ended, client: Client) -> PlannedDelivery:
    """Return the delivery for a client of which no RP session is known: by what the end names, if that is of use to it."""
    if isinstance(event, SessionEnded):
        status = Status.UNADDRESSABLE if client.subject == "sub_only" else Status.QUEUED
        return PlannedDelivery(client.client_id, event.sid, None, status=status)
    status = Status.UNADDRESSABLE if client.needs_sid else Status.QUEUED
    return PlannedDelivery(client.client_id, None, event.sub, status=status)


def _of(event: Ended, session: RpSession, sid: str | None, status: Status = Status.QUEUED) -> PlannedDelivery:
    # Beside a newer login, the item does not show when the older ones began.
    started_at = None if sid is None or has_newer_login(session, event) else session.started_at
    return PlannedDelivery(session.client_id, sid, session.sub or None, session.client_sub, status, started_at)
