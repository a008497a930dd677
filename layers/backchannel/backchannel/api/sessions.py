"""``/providers/{provider}/sessions``: RP sessions reported and shown."""

from collections import Counter
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from pydantic import ValidationError

from backchannel.api.bodies import parsed
from backchannel.api.dependencies import dependencies, now, requester
from backchannel.api.paging import cursor, is_key, position, sort_key
from backchannel.api.parameters import After, Limit, Name, QueryIdentifier
from backchannel.api.requests import RpSessionStart
from backchannel.api.session_starts import NDJSON, read_lines, started
from backchannel.api.views import optional_timestamp, problems, responses, timestamp
from backchannel.api.views.sessions import ErrorView, EventsTaken, LinesTaken, RefusedLineView, RpSessionsView, RpSessionView
from backchannel.aws.dynamodb import key
from backchannel.errors import ContentTypeUnsupportedError, MalformedRequestError
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger
from backchannel.sessions.events import identifier, subject
from backchannel.sessions.items import SHARDS
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions
from backchannel.webhooks.request import Request

router = APIGatewayRouter()

BODIES = ("application/json", NDJSON)
"""The types of the body of a report. Powertools reads no lines, so the route reads both, and `local.openapi` describes them."""


@router.post(
    "/providers/<provider>/sessions",
    summary="Report that RP sessions started",
    responses=responses(LinesTaken | EventsTaken, 202) | problems(413, 415),
)
def post(provider: Name) -> tuple[LinesTaken | EventsTaken, int]:
    """Store an RP session, or up to 100 as lines of JSON; if its session is over already, its logout is queued at once.

    Of lines, each needs started_at. One that is not valid is refused by its number, and the others are stored. The same lines can
    be sent again.
    """
    configured = dependencies(router).providers.get(provider)
    request = Request.of(router.current_event.raw_event)
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in BODIES:
        raise ContentTypeUnsupportedError(f"the body may be of the types {', '.join(BODIES)}")
    received = now()
    return (_post_lines if kind == NDJSON else _post_one)(configured, request.body, received), HTTPStatus.ACCEPTED


def _post_one(provider: Provider, body: bytes, received: int) -> EventsTaken:
    try:
        start = RpSessionStart.model_validate(parsed(body))
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    taken = dependencies(router).intake.take(provider, [started(start, received)], received)
    return EventsTaken(started=taken.started, ended=taken.ended)


def _post_lines(provider: Provider, body: bytes, received: int) -> LinesTaken:
    lines = read_lines(body, received)
    taken = dependencies(router).intake.take(provider, lines.starts, received)
    logger.info(
        "sessions.imported",
        provider=provider.provider,
        requested_by=requester(router),
        started=taken.started,
        ended=taken.ended,
        refused=Counter(each.code for each in lines.refused),
    )
    refused = [
        RefusedLineView(line=each.line, code=each.code, errors=[ErrorView(at=at, what=what) for at, what in each.errors])
        for each in lines.refused
    ]
    return LinesTaken(started=taken.started, ended=taken.ended, refused=refused)


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
