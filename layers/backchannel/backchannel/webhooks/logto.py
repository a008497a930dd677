"""Logto. Of the personal data in ``user`` and ``data``, only the id is kept.

``sessionId`` is the id of a sign-in's interaction, never a ``sid``. An event has no id. Its type, its time and its user make one,
which is the same when it is sent again, and from two webhooks.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded, identifier, subject
from backchannel.webhooks import hmac_signatures
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time, start_time
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request, Trust, json_object, member

MAX_AGE = 3600
"""Seconds: the signature covers no time. Logto does not send an event again."""

_HEADER = "logto-signature-sha-256"


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that start or end nothing are ignored.

    Raises:
        CallerError: the event does not say what started or ended.

    """
    document = json_object(proven.body)
    make = _TYPES.get(member(document, "event", str))
    return IGNORED if make is None else make(document, context)


def _signed_in(document: Mapping[str, Any], context: Context) -> Parsed:
    """Return the start at the application that the user signed in for, or registered for; there is none in the account centre."""
    if document.get("application") is None:
        return IGNORED
    client_id = identifier("client_id", member(document, "application", dict).get("id"))
    at = start_time("createdAt", document, context.now)
    return Parsed((RpSessionStarted(subject(document.get("userId")), client_id, at),))


def _password_reset(document: Mapping[str, Any], context: Context) -> Parsed:
    return _everywhere(document, document.get("userId"), Reason.CREDENTIAL_CHANGED, context)


def _suspension_updated(document: Mapping[str, Any], context: Context) -> Parsed:
    """Return the end of a suspended user's sessions; one who is active again has none that end."""
    user = member(document, "data", dict)
    if not member(user, "isSuspended", bool):
        return IGNORED
    return _everywhere(document, user.get("id"), Reason.USER_DISABLED, context)


def _deleted(document: Mapping[str, Any], context: Context) -> Parsed:
    """Return the end of a deleted user's sessions: ``data`` may be null, since the API answers with nothing."""
    user_id = _member_of(document.get("data"), "id") or _member_of(document.get("params"), "userId")
    return UNMAPPABLE if user_id is None else _everywhere(document, user_id, Reason.USER_DELETED, context)


def _member_of(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _everywhere(document: Mapping[str, Any], user_id: object, reason: Reason, context: Context) -> Parsed:
    sub, at = subject(user_id), end_time("createdAt", document, context.now)
    event_id = f"{document['event']}:{document['createdAt']}:{sub}"
    return Parsed((SubjectSessionsEnded(sub, at, event_id, reason=reason),))


def _verify(request: Request, trust: Trust, _: int) -> Proven:
    hmac_signatures.hex_over_body(_HEADER, request, trust.secrets())
    return Proven(request.body)


_TYPES: Mapping[str, Callable[[Mapping[str, Any], Context], Parsed]] = {
    "PostSignIn": _signed_in,
    "PostRegister": _signed_in,  # after which no sign-in follows
    "PostResetPassword": _password_reset,
    "User.SuspensionStatus.Updated": _suspension_updated,
    "User.Deleted": _deleted,
}

FORMAT = Format(
    verify=_verify,
    parse=parse,
    check_secret=hmac_signatures.check_secret,
    success=HTTPStatus.OK,
    settings=EVENTS,
    max_age=MAX_AGE,
)
