"""``/providers/{provider}/sessions``: RP sessions reported and shown."""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies, now
from backchannel.api.paging import cursor, is_key, position, sort_key
from backchannel.api.parameters import After, Limit, Name, QueryIdentifier
from backchannel.api.requests import RpSessionStart, milliseconds
from backchannel.api.views import EventsTaken, RpSessionsView, RpSessionView, optional_timestamp, responses, timestamp
from backchannel.aws.dynamodb import key
from backchannel.errors import MalformedRequestError
from backchannel.sessions.events import RpSessionStarted, event_time, expiry_time, identifier, subject
from backchannel.sessions.items import SHARDS
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions

router = APIGatewayRouter()


@router.post("/providers/<provider>/sessions", summary="Report that an RP session started", responses=responses(EventsTaken, 202))
def post(provider: Name, start: RpSessionStart) -> tuple[EventsTaken, int]:
    """Store an RP session; if its session is over already, its logout is queued at once."""
    using = dependencies(router)
    configured = using.providers.get(provider)
    received = now()
    at = received if start.started_at is None else event_time(milliseconds(start.started_at), received)
    event = RpSessionStarted(
        sub=subject(start.sub),
        client_id=identifier("client_id", start.client_id),
        started_at=at,
        untimed=start.started_at is None,
        sid=None if start.sid is None else identifier("sid", start.sid),
        client_sub=None if start.client_sub is None else subject(start.client_sub),
        expires_at=None if start.expires_at is None else expiry_time(milliseconds(start.expires_at)),
    )
    taken = using.intake.take(configured, [event], received)
    return EventsTaken(started=taken.started, ended=taken.ended), HTTPStatus.ACCEPTED


@router.get(
    "/providers/<provider>/sessions",
    summary="Show the RP sessions of a subject, of a session or of a client",
    responses=responses(RpSessionsView, 200),
)
def get(  # noqa: PLR0917 - one for each parameter of the query
    provider: Name,
    sub: QueryIdentifier = None,
    sid: QueryIdentifier = None,
    client_id: QueryIdentifier = None,
    after: After = None,
    limit: Limit = 100,
) -> RpSessionsView:
    """Return a page of RP sessions, active and ended ones, each with the logout that took care of it.

    By `client_id`, the list may lag behind by seconds, and lacks what was stored by a version that did not have it.
    """
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    listed = f"sessions/{provider}/{sub}/{sid}/{client_id}"
    if len([each for each in (sub, sid, client_id) if each is not None]) != 1:
        raise MalformedRequestError("one of sub, sid and client_id is needed")
    if client_id is not None:
        sessions, place = _of_client(
            using.sessions, (issuer, identifier("client_id", client_id)), _place(position(after, listed, dict)), limit
        )
        return RpSessionsView(sessions=sessions, next=cursor(place, listed))
    start = sort_key(after, listed, key("RP", ""))
    if sub is not None:
        page = using.sessions.of_subject(issuer, subject(sub), after=start, limit=limit, now=now())
    else:
        page = using.sessions.of_session(issuer, identifier("sid", sid or ""), after=start, limit=limit, now=now())
    return RpSessionsView(sessions=[_shown(session) for session in page.items], next=cursor(page.cursor, listed))


def _of_client(
    sessions: Sessions, client: tuple[str, str], place: tuple[int, dict[str, str] | None], limit: int
) -> tuple[list[RpSessionView], object]:
    """Return a page of a client's RP sessions, shard by shard of the index, and where the next one begins."""
    first, start = place
    found = list[RpSessionView]()
    for shard in range(first, SHARDS):
        page = sessions.of_client(*client, shard, after=start, limit=limit - len(found), now=now())
        found += [_shown(session) for session in page.items]
        if page.cursor is not None:
            return found, {"shard": shard, **page.cursor}
        if len(found) == limit and shard + 1 < SHARDS:
            return found, {"shard": shard + 1}
        start = None
    return found, None


def _place(found: dict[str, Any] | None) -> tuple[int, dict[str, str] | None]:
    """Return the shard, and the position in it, where a page begins.

    Raises:
        MalformedRequestError: there is no such place.

    """
    match found:
        case None:
            return 0, None
        case {"shard": int(shard), "pk": str(pk), "sk": str(sk)} if shard in range(SHARDS) and is_key(pk) and is_key(sk):
            return shard, {"pk": pk, "sk": sk}
        case {"shard": int(shard)} if shard in range(SHARDS) and len(found) == 1:
            return shard, None
    raise MalformedRequestError("after is not a cursor of this list")


def _shown(session: RpSession) -> RpSessionView:
    return RpSessionView(
        client_id=session.client_id,
        sub=session.sub,
        sid=session.sid,
        client_sub=session.client_sub,
        # A login that its end covers may carry a later time: clocks differ, and some starts have none of their own.
        started_at=timestamp(session.started_at if session.ended_at is None else min(session.started_at, session.ended_at)),
        expires_at=optional_timestamp(session.expires_at),
        ended_at=optional_timestamp(session.ended_at),
        logout_id=session.ended_by,
    )
