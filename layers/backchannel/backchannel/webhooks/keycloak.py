"""Keycloak, as the p2-inc event listener sends it.

In an admin event, ``authDetails`` names the administrator; ``resourcePath`` names the user who is logged out. ``details`` holds
codes and token ids, so nothing of it is kept. ``uid`` stays the same when an event is sent again.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from backchannel.sessions.events import RpSessionStarted, SessionEvent, SubjectSessionsEnded, event_time, identifier, subject
from backchannel.webhooks.request import IGNORED, Context, Parsed, Request, json_object, member
from backchannel.webhooks.sids import end_of_session, trusted_sid


def parse(request: Request, context: Context) -> Parsed:
    """Read one event; types that start or end nothing are ignored.

    Raises:
        CallerError: the event does not say what started or ended.

    """
    document = json_object(request.body)
    make = _TYPES.get(member(document, "type", str))
    if make is None:
        return IGNORED
    at = event_time(member(document, "time", int), context.now)
    event = make(document, at, identifier("uid", document.get("uid")), context)
    return IGNORED if event is None else Parsed((event,))


def _code_to_token(document: Mapping[str, Any], at: int, _: str, context: Context) -> SessionEvent:
    details = member(document, "authDetails", dict)
    return RpSessionStarted(
        sub=subject(details.get("userId")),
        client_id=identifier("client_id", details.get("clientId")),
        started_at=at,
        sid=trusted_sid(identifier("sid", details.get("sessionId")), context.sid_trust),
    )


def _logout(document: Mapping[str, Any], at: int, uid: str, context: Context) -> SessionEvent | None:
    details = member(document, "authDetails", dict)
    return end_of_session(
        sid=identifier("sid", details.get("sessionId")),
        sub=None if details.get("userId") is None else subject(details["userId"]),
        ended_at=at,
        source_event_id=uid,
        sid_trust=context.sid_trust,
        reason="logout",
    )


def _credential_changed(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent:
    return _everywhere(member(document, "authDetails", dict).get("userId"), at, uid, "credential_changed")


def _session_deleted(document: Mapping[str, Any], at: int, uid: str, context: Context) -> SessionEvent | None:
    match = re.fullmatch(r"sessions/([^/]+)", member(document, "resourcePath", str))
    if match is None:
        return None
    return end_of_session(
        sid=identifier("sid", match[1]),
        sub=None,
        ended_at=at,
        source_event_id=uid,
        sid_trust=context.sid_trust,
        reason="admin_logout",
    )


def _user_action(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent | None:
    match = re.fullmatch(r"users/([^/]+)/([a-z-]+)", member(document, "resourcePath", str))
    reason = None if match is None else _USER_ACTIONS.get(match[2])
    return None if match is None or reason is None else _everywhere(match[1], at, uid, reason)


def _user_deleted(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent | None:
    match = re.fullmatch(r"users/([^/]+)", member(document, "resourcePath", str))
    return None if match is None else _everywhere(match[1], at, uid, "user_deleted")


def _user_updated(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent | None:
    """Only the representation shows that a user was disabled, and it is there only if the realm includes it."""
    match = re.fullmatch(r"users/([^/]+)", member(document, "resourcePath", str))
    try:
        representation = json.loads(document.get("representation") or "{}")
    except (TypeError, ValueError, RecursionError):
        return None
    if match is None or not isinstance(representation, dict) or representation.get("enabled") is not False:
        return None
    return _everywhere(match[1], at, uid, "user_disabled")


def _everywhere(user_id: object, at: int, uid: str, reason: str) -> SubjectSessionsEnded:
    return SubjectSessionsEnded(subject(user_id), at, uid, reason=reason)


_USER_ACTIONS = {"logout": "admin_logout", "reset-password": "credential_changed"}

_TYPES: Mapping[str, Callable[[Mapping[str, Any], int, str, Context], SessionEvent | None]] = {
    "access.CODE_TO_TOKEN": _code_to_token,
    "access.LOGOUT": _logout,
    "access.UPDATE_PASSWORD": _credential_changed,
    "access.UPDATE_CREDENTIAL": _credential_changed,
    "admin.USER_SESSION-DELETE": _session_deleted,
    "admin.USER-ACTION": _user_action,
    "admin.USER-DELETE": _user_deleted,
    "admin.USER-UPDATE": _user_updated,
}
