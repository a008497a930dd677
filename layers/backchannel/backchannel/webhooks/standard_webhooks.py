"""The generic event: our own types in the form of Standard Webhooks, for senders that are free in what they send.

``{"type": …, "timestamp": ISO 8601, "data": {"iss"?, "sub", "sid", "client_id", "client_sub"?, "expires_at"?, "reason"?}}``

Where the signature covers no id beside the body, the body has an ``id``, too. So has each event of a batch,
``{"events": [...]}``.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import IssuerMismatchError
from backchannel.reasons import Cause, Reason, cause
from backchannel.sessions.events import (
    RpSessionStarted,
    SessionEvent,
    SubjectSessionsEnded,
    expiry_time,
    identifier,
    subject,
)
from backchannel.webhooks import ed25519_signatures, hmac_signatures
from backchannel.webhooks.batches import entries_of, loosely
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time, milliseconds, start_time
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, json_object, member
from backchannel.webhooks.sids import end_of_session, trusted_sid


def entries(proven: Proven) -> list[Proven] | None:
    """Return the events of a batch, None if there is but one event.

    Raises:
        MalformedRequestError: the body is not that of a batch or of an event.

    """
    document = loosely(proven.body)
    if not isinstance(document, dict) or "events" not in document or "type" in document:
        return None
    return entries_of(member(document, "events", list))


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; an unknown type is ignored.

    Raises:
        CallerError: a member of the event is missing or not valid.

    """
    document = json_object(proven.body)
    make = _TYPES.get(member(document, "type", str))
    if make is None:
        return IGNORED
    data = member(document, "data", dict)
    if data.get("iss", None if context.require_iss else context.issuer) != context.issuer:
        raise IssuerMismatchError("data.iss is not the issuer of this provider")
    at = (start_time if make is _started else end_time)("timestamp", document, context.now)
    event_id = identifier("id", document.get("id")) if proven.event_id is None else proven.event_id
    event = make(data, at, event_id, context)
    if event is None:
        return UNMAPPABLE
    return Parsed((event,), unknown_reasons=int(make is not _started and _has_unknown_reason(data)))


def _started(data: Mapping[str, Any], at: int, _: str, context: Context) -> SessionEvent:
    return RpSessionStarted(
        sub=subject(data.get("sub")),
        client_id=identifier("client_id", data.get("client_id")),
        started_at=at,
        sid=trusted_sid(_optional("sid", data), context.sid_trust),
        client_sub=None if data.get("client_sub") is None else subject(data["client_sub"]),
        expires_at=None if data.get("expires_at") is None else expiry_time(milliseconds("expires_at", data)),
    )


def _session_ended(data: Mapping[str, Any], at: int, event_id: str, context: Context) -> SessionEvent | None:
    return end_of_session(
        context,
        sid=identifier("sid", data.get("sid")),
        sub=data.get("sub"),
        ended_at=at,
        source_event_id=event_id,
        client_id=_optional("client_id", data),
        reason=_reason(data),
        cause=_cause(data),
    )


def _user_sessions_ended(data: Mapping[str, Any], at: int, event_id: str, _: Context) -> SessionEvent:
    return SubjectSessionsEnded(
        sub=subject(data.get("sub")),
        ended_at=at,
        source_event_id=event_id,
        client_id=_optional("client_id", data),
        reason=_reason(data),
        cause=_cause(data),
    )


_TYPES: Mapping[str, Callable[[Mapping[str, Any], int, str, Context], SessionEvent | None]] = {
    "rp_session.started": _started,
    "session.ended": _session_ended,
    "user.sessions_ended": _user_sessions_ended,
}

ENDS = ("session.ended", "user.sessions_ended")


def _optional(name: str, data: Mapping[str, Any]) -> str | None:
    return None if data.get(name) is None else identifier(name, data[name])


def _reason(data: Mapping[str, Any]) -> Reason | None:
    """Return the reason, however it is spelled: it decides whether an end is an emergency."""
    given = data.get("reason")
    return Reason.read(given) if isinstance(given, str) else None


def _cause(data: Mapping[str, Any]) -> Cause | None:
    given = data.get("reason")
    return cause(given) if isinstance(given, str) else None


def _has_unknown_reason(data: Mapping[str, Any]) -> bool:
    given = data.get("reason")
    return given is not None and _reason(data) is not None and not Reason.is_known(given)


def _check_secret(secret: str) -> None:
    is_public = secret.startswith(ed25519_signatures.PREFIX)
    (ed25519_signatures.public_key if is_public else hmac_signatures.standard_webhooks_key)(secret)


FORMAT = Format(
    verify=hmac_signatures.verify_standard_webhooks,
    parse=parse,
    entries=entries,
    check_secret=_check_secret,
    success=HTTPStatus.ACCEPTED,
    settings=EVENTS | {"sid_trust", "require_iss"},
    event_id_is_beside=True,
)
