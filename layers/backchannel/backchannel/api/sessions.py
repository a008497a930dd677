"""``/providers/{provider}/sessions``: RP sessions reported and shown."""

from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies, now
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, Limit, Name, QueryIdentifier
from backchannel.api.requests import RpSessionStart, milliseconds
from backchannel.api.views import EventsTaken, RpSessionsView, RpSessionView, optional_timestamp, responses, timestamp
from backchannel.aws.dynamodb import key
from backchannel.errors import MalformedRequestError
from backchannel.sessions.events import RpSessionStarted, event_time, expiry_time, identifier, subject
from backchannel.sessions.rp_sessions import RpSession

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
    summary="Show the RP sessions of a subject or of a session",
    responses=responses(RpSessionsView, 200),
)
def get(
    provider: Name,
    sub: QueryIdentifier = None,
    sid: QueryIdentifier = None,
    after: After = None,
    limit: Limit = 100,
) -> RpSessionsView:
    """Return a page of RP sessions, active and ended ones, each with the logout that took care of it."""
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    listed = f"sessions/{provider}/{sub}/{sid}"
    start = sort_key(after, listed, key("RP", ""))
    if sub is not None and sid is None:
        page = using.sessions.of_subject(issuer, subject(sub), after=start, limit=limit, now=now())
    elif sid is not None and sub is None:
        page = using.sessions.of_session(issuer, identifier("sid", sid), after=start, limit=limit, now=now())
    else:
        raise MalformedRequestError("one of sub and sid is needed")
    return RpSessionsView(sessions=[_shown(session) for session in page.items], next=cursor(page.cursor, listed))


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
