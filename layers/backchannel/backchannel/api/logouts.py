"""``/providers/{provider}/logouts`` and ``/providers/{provider}/deliveries``: logouts asked for, shown and sent again."""

import uuid
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies, now
from backchannel.api.paging import cursor, index_key, position, sort_key
from backchannel.api.parameters import After, Limit, LogoutId, Name
from backchannel.api.requests import LogoutRequest
from backchannel.api.views import (
    DeliveriesView,
    DeliveryView,
    LogoutAccepted,
    LogoutView,
    optional_timestamp,
    responses,
    timestamp,
)
from backchannel.aws.dynamodb import key
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.records import DeliveryRecord, status_range
from backchannel.errors import MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions import events as session_events
from backchannel.sessions.events import MAX_IDENTIFIER
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
    using.logouts.open(end_message(provider, issuer, event), issuer, received, note=note)
    using.intake.take(configured, [event], received, reopen=True)
    return LogoutAccepted(logout_id=session_events.logout_id(issuer, event)), HTTPStatus.ACCEPTED


@router.get(
    "/providers/<provider>/logouts/<logout_id>", summary="Show a logout and its deliveries", responses=responses(LogoutView, 200)
)
def get(provider: Name, logout_id: LogoutId, after: After = None, limit: Limit = 100) -> LogoutView:
    """Return the logout and a page of its deliveries."""
    using = dependencies(router)
    found = using.logouts.get(using.providers.get(provider).issuer, logout_id)
    listed = f"logouts/{logout_id}"
    fanned_out, counts = found.fanned_out_at is not None, using.deliveries.count(logout_id) if after is None else None
    # After they are counted: what is settled is not shown as it was before.
    page = using.deliveries.of_logout(logout_id, sort_key(after, listed, key("RP", "")), limit)
    return LogoutView(
        logout_id=logout_id,
        sid=found.sid,
        sub=found.sub,
        client_id=found.client_id,
        reason=found.reason,
        note=found.note,
        ended_at=timestamp(found.ended_at),
        fanned_out=fanned_out,
        matched=found.matched,
        settled=None if counts is None else fanned_out and not PENDING & counts.keys(),
        counts=None if counts is None else {str(status): count for status, count in counts.items()},
        deliveries=[_shown(record) for record in page.items],
        next=cursor(page.cursor, listed),
    )


@router.get("/providers/<provider>/deliveries", summary="List deliveries of a client", responses=responses(DeliveriesView, 200))
def list_deliveries(
    provider: Name,
    client_id: Annotated[str, Query(min_length=1, max_length=MAX_IDENTIFIER)],
    status: Annotated[Status | None, Query()] = None,
    after: After = None,
    limit: Limit = 100,
) -> DeliveriesView:
    """Return a page of the client's deliveries, by status and time. The list may lag behind by seconds."""
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    listed, within = f"deliveries/{provider}/{client_id}/{status}", status_range(status)
    start = index_key(position(after, listed, dict), within)
    client_id = session_events.identifier("client_id", client_id)
    page = using.deliveries.of_client(issuer, client_id, within, after=start, limit=limit)
    return DeliveriesView(deliveries=[_shown(record) for record in page.items], next=cursor(page.cursor, listed))


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


def _shown(record: DeliveryRecord) -> DeliveryView:
    return DeliveryView(
        logout_id=record.logout_id,
        client_id=record.client_id,
        sid=record.sid,
        status=record.status,
        attempts=record.attempts,
        last_code=record.last_code,
        last_status_code=record.last_status_code,
        error=record.error,
        error_description=record.error_description,
        created_at=timestamp(record.created_at),
        updated_at=timestamp(record.updated_at),
        next_attempt_at=optional_timestamp(record.next_attempt_at),
    )
