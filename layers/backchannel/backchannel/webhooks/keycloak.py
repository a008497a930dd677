"""Keycloak, as the p2-inc event listener sends it.

In an admin event, ``authDetails`` names the administrator; ``resourcePath`` names the user who is logged out. ``details`` holds
codes and token ids, so nothing of it is kept but a revoked client's id. ``uid`` stays the same when an event is sent again.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from backchannel.errors import IssuerMismatchError, SenderUnsupportedError
from backchannel.reasons import POLICIES, Cause, Reason
from backchannel.sessions.events import RpSessionStarted, SessionEvent, SubjectSessionsEnded, event_time, identifier, subject
from backchannel.webhooks import hmac_signatures, keycloak_signatures
from backchannel.webhooks.format import EVENTS, JWKS, Format
from backchannel.webhooks.request import IGNORED, MAX_BODY, UNMAPPABLE, Context, Parsed, Proven, json_object, member
from backchannel.webhooks.sids import end_of_session, trusted_sid

type _Make = Callable[[Mapping[str, Any], int, str, Context], SessionEvent | None]


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that start or end nothing are ignored.

    Raises:
        CallerError: the event does not say what started or ended, is of another realm, or of the extension's other sender.

    """
    document = json_object(proven.body)
    kind = member(document, "type", str)
    make = _TYPES.get(kind)
    if make is None:
        if "." not in kind:
            raise SenderUnsupportedError("event types must begin with access. or admin.; the listener is ext-event-webhook")
        return IGNORED
    _check_realm(document, context)
    at = event_time(member(document, "time", int), context.now)
    event = make(document, at, identifier("uid", document.get("uid")), context)
    if event is None:
        return UNMAPPABLE if kind in _ENDS_OF_SESSIONS else IGNORED
    return Parsed((event,))


def _check_realm(document: Mapping[str, Any], context: Context) -> None:
    """Refuse an event of another realm. It must name its realm if the source does."""
    named = document.get("realmName")
    if context.realm is None:
        of_issuer = re.search(r"/realms/([^/]+)/?$", context.issuer)
        if of_issuer is None or named is None:
            return
        realm = unquote(of_issuer[1])
    else:
        realm = context.realm
    if named != realm:
        raise IssuerMismatchError("realmName is not the realm of this source")


def _code_to_token(document: Mapping[str, Any], at: int, _: str, context: Context) -> SessionEvent:
    who = member(document, "authDetails", dict)
    return RpSessionStarted(
        sub=subject(who.get("userId")),
        client_id=identifier("client_id", who.get("clientId")),
        started_at=at,
        sid=trusted_sid(identifier("sid", who.get("sessionId")), context.sid_trust),
    )


def _logout(document: Mapping[str, Any], at: int, uid: str, context: Context) -> SessionEvent | None:
    who = member(document, "authDetails", dict)
    if who.get("sessionId") in (None, "") and not _is_expiry(document):
        return _everywhere(who.get("userId"), at, uid, Reason.LOGOUT)
    return _session_over(document, at, uid, context, Reason.LOGOUT)


def _session_deleted(document: Mapping[str, Any], at: int, uid: str, context: Context) -> SessionEvent | None:
    return _session_over(document, at, uid, context, Reason.SESSION_REVOKED)


def _session_over(document: Mapping[str, Any], at: int, uid: str, context: Context, reason: Reason) -> SessionEvent | None:
    """Return the end of a user's session. One that expired says nothing about the user's other sessions."""
    who = member(document, "authDetails", dict)
    is_expired = _is_expiry(document)
    return end_of_session(
        context,
        sid=identifier("sid", who.get("sessionId")),
        sub=None if is_expired else who.get("userId"),
        ended_at=at,
        source_event_id=uid,
        reason=Reason.EXPIRED if is_expired else reason,
    )


def _grant_revoked(document: Mapping[str, Any], at: int, uid: str, context: Context) -> SessionEvent | None:
    """Return the end at the client that lost its grant; ``authDetails`` names the client where the user revoked it.

    With a refresh token its session's part is over. A revoked access token ends nothing.
    """
    who, client = member(document, "authDetails", dict), _detail(document, "revoked_client")
    if client is None:
        return None
    client_id = identifier("client_id", client)
    is_token = _detail(document, "refresh_token_id") is not None
    cause: Cause = "token_revoked" if is_token else "consent_revoked"
    if not is_token or who.get("sessionId") is None:
        return SubjectSessionsEnded(subject(who.get("userId")), at, uid, client_id, Reason.LOGOUT, cause)
    return end_of_session(
        context,
        sid=identifier("sid", who["sessionId"]),
        sub=who.get("userId"),
        ended_at=at,
        source_event_id=uid,
        client_id=client_id,
        reason=Reason.LOGOUT,
        cause=cause,
    )


def _of_user(reason: Reason) -> _Make:
    def make(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent:
        return _everywhere(member(document, "authDetails", dict).get("userId"), at, uid, reason)

    return make


def _session_deleted_by_admin(document: Mapping[str, Any], at: int, uid: str, context: Context) -> SessionEvent | None:
    match = re.fullmatch(r"sessions/([^/]+)", member(document, "resourcePath", str))
    if match is None:
        return None
    return end_of_session(
        context,
        sid=identifier("sid", match[1]),
        sub=None,
        ended_at=at,
        source_event_id=uid,
        reason=Reason.ADMIN_LOGOUT,
    )


def _user_action(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent | None:
    path = member(document, "resourcePath", str)
    if _CONSENT.fullmatch(path) is not None:
        return _consent_revoked(path, at, uid)
    action = _ACTION.fullmatch(path)
    reason = None if action is None else _USER_ACTIONS.get(action[2])
    return None if action is None or reason is None else _everywhere(action[1], at, uid, reason)


def _user_deleted(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent | None:
    path = member(document, "resourcePath", str)
    match = _USER.fullmatch(path)
    return _consent_revoked(path, at, uid) if match is None else _everywhere(match[1], at, uid, Reason.USER_DELETED)


def _consent_revoked(path: str, at: int, uid: str) -> SessionEvent | None:
    consent = _CONSENT.fullmatch(path)
    if consent is None:
        return None
    client_id = identifier("client_id", consent[2])
    return SubjectSessionsEnded(subject(consent[1]), at, uid, client_id, Reason.LOGOUT, "consent_revoked")


def _user_updated(document: Mapping[str, Any], at: int, uid: str, _: Context) -> SessionEvent | None:
    """Only the representation shows that a user was disabled, and it is there only if the realm includes it."""
    match = _USER.fullmatch(member(document, "resourcePath", str))
    try:
        representation = json.loads(document.get("representation") or "{}")
    except (TypeError, ValueError, RecursionError):
        return None
    if match is None or not isinstance(representation, dict) or representation.get("enabled") is not False:
        return None
    return _everywhere(match[1], at, uid, Reason.USER_DISABLED)


def _everywhere(user_id: object, at: int, uid: str, reason: Reason) -> SubjectSessionsEnded:
    return SubjectSessionsEnded(subject(user_id), at, uid, reason=reason)


def _is_expiry(document: Mapping[str, Any]) -> bool:
    return _detail(document, "reason") in {"user_session_expired", "invalid_user_session_remember_me"}


def _detail(document: Mapping[str, Any], name: str) -> str | None:
    details = document.get("details")
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, str) else None


# The id of a user from a federated store is f:<store>:<id there>, and that may hold a slash; other ids hold none.
_USER = re.compile(r"users/(f:(?:(?!/(?:consents|credentials|federated-identity)/).)+|[^/]+)", re.DOTALL)
_CONSENT = re.compile(r"users/(f:.+?|[^/]+)/consents/(.+)", re.DOTALL)
_ACTION = re.compile(r"users/(f:.+|[^/]+)/([a-z-]+)", re.DOTALL)
_USER_ACTIONS = {"logout": Reason.ADMIN_LOGOUT, "reset-password": Reason.CREDENTIAL_CHANGED}

_ENDS_OF_SESSIONS = frozenset({"access.LOGOUT", "access.USER_SESSION_DELETED", "admin.USER_SESSION-DELETE"})
"""Types that always end a session. One that gives no session event names neither a session that is trusted nor a user."""

_TYPES: Mapping[str, _Make] = {
    "access.CODE_TO_TOKEN": _code_to_token,
    "access.LOGOUT": _logout,
    "access.USER_SESSION_DELETED": _session_deleted,
    "access.REVOKE_GRANT": _grant_revoked,
    "access.UPDATE_PASSWORD": _of_user(Reason.CREDENTIAL_CHANGED),
    "access.UPDATE_CREDENTIAL": _of_user(Reason.CREDENTIAL_CHANGED),
    "access.USER_DISABLED_BY_PERMANENT_LOCKOUT": _of_user(Reason.USER_DISABLED),
    "access.DELETE_ACCOUNT": _of_user(Reason.USER_DELETED),
    "admin.USER_SESSION-DELETE": _session_deleted_by_admin,
    "admin.USER-ACTION": _user_action,
    "admin.USER-DELETE": _user_deleted,
    "admin.USER-UPDATE": _user_updated,
}


FORMAT = Format(
    verify=keycloak_signatures.signed_by_secret,
    parse=parse,
    check_secret=hmac_signatures.check_secret,
    success=HTTPStatus.ACCEPTED,
    settings=EVENTS | {"sid_trust", "realm", "algorithm"},
    max_body=MAX_BODY,  # an event may come with a representation of 1 MB, in which every quotation mark is escaped
    ends_sessions=frozenset(POLICIES) - {"token_revoked"},  # the end of a refresh token is not that of a session
    own_clients=frozenset({"account-console", "security-admin-console"}),
)

JWT_FORMAT = replace(
    FORMAT,
    verify=keycloak_signatures.signed_by_realm,
    check_secret=None,
    settings=JWKS | EVENTS | {"sid_trust", "realm", "audience", "token_issuer"},
    required=frozenset({"audience"}),
)
