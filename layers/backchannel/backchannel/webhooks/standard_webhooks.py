"""The generic format: Standard Webhooks with our own event types, for senders that are free in what they send.

``{"type": …, "timestamp": ISO 8601, "data": {"iss"?, "sub", "sid", "client_id", "client_sub"?, "expires_at"?, "reason"?}}``
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from backchannel.errors import IssuerMismatchError, MalformedRequestError
from backchannel.sessions.events import (
    RpSessionStarted,
    SessionEvent,
    SubjectSessionsEnded,
    event_time,
    expiry_time,
    identifier,
    subject,
)
from backchannel.webhooks.hmac_signatures import standard_webhooks_headers
from backchannel.webhooks.request import IGNORED, Context, Parsed, Request, json_object, member
from backchannel.webhooks.sids import end_of_session, trusted_sid

_REASON_CHARACTERS = 100


def parse(request: Request, context: Context) -> Parsed:
    """Read one event; an unknown type is ignored.

    Raises:
        CallerError: a member of the event is missing or not valid.

    """
    document = json_object(request.body)
    make = _TYPES.get(member(document, "type", str))
    if make is None:
        return IGNORED
    data = member(document, "data", dict)
    if data.get("iss", context.issuer) != context.issuer:
        raise IssuerMismatchError("data.iss is not the issuer of this provider")
    at = event_time(_milliseconds("timestamp", document), context.now)
    event_id, _, _ = standard_webhooks_headers(request)
    event = make(data, at, event_id, context)
    return IGNORED if event is None else Parsed((event,))


def _started(data: Mapping[str, Any], at: int, _: str, context: Context) -> SessionEvent:
    return RpSessionStarted(
        sub=subject(data.get("sub")),
        client_id=identifier("client_id", data.get("client_id")),
        started_at=at,
        sid=trusted_sid(_optional("sid", data), context.sid_trust),
        client_sub=None if data.get("client_sub") is None else subject(data["client_sub"]),
        expires_at=None if data.get("expires_at") is None else expiry_time(_milliseconds("expires_at", data)),
    )


def _session_ended(data: Mapping[str, Any], at: int, event_id: str, context: Context) -> SessionEvent | None:
    return end_of_session(
        sid=identifier("sid", data.get("sid")),
        sub=None if data.get("sub") is None else subject(data["sub"]),
        ended_at=at,
        source_event_id=event_id,
        sid_trust=context.sid_trust,
        client_id=_optional("client_id", data),
        reason=_reason(data),
    )


def _user_sessions_ended(data: Mapping[str, Any], at: int, event_id: str, _: Context) -> SessionEvent:
    return SubjectSessionsEnded(
        sub=subject(data.get("sub")),
        ended_at=at,
        source_event_id=event_id,
        client_id=_optional("client_id", data),
        reason=_reason(data),
    )


_TYPES: Mapping[str, Callable[[Mapping[str, Any], int, str, Context], SessionEvent | None]] = {
    "rp_session.started": _started,
    "session.ended": _session_ended,
    "user.sessions_ended": _user_sessions_ended,
}


def _optional(name: str, data: Mapping[str, Any]) -> str | None:
    return None if data.get(name) is None else identifier(name, data[name])


def _reason(data: Mapping[str, Any]) -> str | None:
    reason = data.get("reason")
    return reason[:_REASON_CHARACTERS] if isinstance(reason, str) and reason.isprintable() and reason else None


def _milliseconds(name: str, document: Mapping[str, Any]) -> int:
    text = member(document, name, str)
    try:
        time = datetime.fromisoformat(text)
        return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise MalformedRequestError(f"{name} is not an ISO 8601 date and time") from error
