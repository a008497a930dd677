"""``/providers/{provider}/logouts``: logouts asked for and shown."""

import uuid
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.deliveries import delivery_members
from backchannel.api.dependencies import dependencies, now, requester
from backchannel.api.logout_list import logout_members
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, Limit, LogoutId, Name
from backchannel.api.requests import LogoutRequest
from backchannel.api.views import optional_timestamp, responses, timestamp
from backchannel.api.views.deliveries import LogoutDeliveryView, PastAttemptView
from backchannel.api.views.logouts import LogoutAccepted, LogoutView
from backchannel.aws.dynamodb import key
from backchannel.deliveries.history import PastAttempt, past_attempts
from backchannel.deliveries.outcomes import PENDING
from backchannel.deliveries.records import DeliveryRecord
from backchannel.errors import MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions import events as session_events
from backchannel.sessions.intake import end_message

router = APIGatewayRouter()


@router.post(
    "/providers/<provider>/logouts",
    summary="End a session, or all sessions of a subject",
    responses=responses(LogoutAccepted, 202),
)
def post(provider: Name, request: LogoutRequest) -> tuple[LogoutAccepted, int]:
    """Queue a logout and return its id.

    An RP session that another logout has taken care of already is told again, unless it has accepted its token.
    """
    using = dependencies(router)
    configured = using.providers.get(provider)
    issuer = configured.issuer
    event = _event(request)
    received = now()
    note = request.reason if event.reason is Reason.ADMIN_LOGOUT else None
    by = requester(router)
    using.logouts.open(end_message(provider, issuer, event, requested_by=by), issuer, received, note=note)
    using.intake.take(configured, [event], received, reopen=True, requested_by=by)
    return LogoutAccepted(logout_id=session_events.logout_id(issuer, event)), HTTPStatus.ACCEPTED


@router.get(
    "/providers/<provider>/logouts/<logout_id>", summary="Show a logout and its deliveries", responses=responses(LogoutView, 200)
)
def get(provider: Name, logout_id: LogoutId, after: After = None, limit: Limit = 100) -> LogoutView:
    """Return the logout and a page of its deliveries."""
    using = dependencies(router)
    found = using.logouts.get(using.providers.get(provider).issuer, logout_id)
    listed = f"logouts/{logout_id}"
    counts = using.deliveries.count(logout_id) if after is None else None
    # After they are counted: what is settled is not shown as it was before.
    page = using.deliveries.of_logout(logout_id, sort_key(after, listed, key("RP", "")), limit)
    return LogoutView(
        **logout_members(found),
        settled=None if counts is None else found.fanned_out_at is not None and not PENDING & counts.keys(),
        counts=None if counts is None else {str(status): count for status, count in counts.items()},
        deliveries=[_of_logout(record) for record in page.items],
        next=cursor(page.cursor, listed),
    )


def _event(request: LogoutRequest) -> session_events.Ended:
    client_id = None if request.client_id is None else session_events.identifier("client_id", request.client_id)
    event_id, ended_at, reason = str(uuid.uuid4()), now(), reason_of(request.reason)
    if request.sid is not None and request.sub is None:
        sid = session_events.identifier("sid", request.sid)
        return session_events.SessionEnded(sid, ended_at, event_id, client_id, reason)
    if request.sub is not None and request.sid is None:
        sub = session_events.subject(request.sub)
        return session_events.SubjectSessionsEnded(sub, ended_at, event_id, client_id, reason)
    raise MalformedRequestError("one of sub and sid is needed")


def reason_of(text: str | None) -> Reason:
    """Return the reason that an operator gives. Whatever else they say, it is an administrator who ends the session."""
    return Reason.read(text) or Reason.LOGOUT if text is not None and Reason.is_known(text) else Reason.ADMIN_LOGOUT


def _of_logout(record: DeliveryRecord) -> LogoutDeliveryView:
    return LogoutDeliveryView(
        **delivery_members(record),
        history=[_attempt(each) for each in past_attempts(record.history)],
        requested_by=record.requested_by,
        requested_at=optional_timestamp(record.requested_at),
    )


def _attempt(past: PastAttempt) -> PastAttemptView:
    prefix, _, number = past.code.partition("http_")
    status_code = None if prefix else int(number)
    return PastAttemptView(
        at=timestamp(past.at), code=past.code, status_code=status_code, post_ms=past.post_ms, address=past.address
    )
