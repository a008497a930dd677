"""Auth0's tenant log, as a log stream sends it: JSON lines, an array, or one object. Each item is ``{"log_id", "data"}``.

A log's session id is the ``sid`` of ID tokens. In the log of an operation at the Management API, ``user_id`` and ``client_id``
are the administrator's; its path names the session or the user. Logs come late, out of order and more than once, so there is no
age limit.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from backchannel.errors import MalformedRequestError
from backchannel.reasons import POLICIES, Reason
from backchannel.sessions.events import Ended, RpSessionStarted, SubjectSessionsEnded, identifier, subject
from backchannel.webhooks import aws_iam, static_header
from backchannel.webhooks.batches import entries_of, loosely
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time, start_time
from backchannel.webhooks.request import IGNORED, MAX_BODY, UNMAPPABLE, Context, Parsed, Proven, json_object, member
from backchannel.webhooks.sids import end_of_session, trusted_sid

type _Json = Mapping[str, Any]
type _Made = Ended | Parsed


def entries(proven: Proven) -> list[Proven]:
    """Return the logs of a body in any of its three shapes. What is no JSON as a whole is read line by line, and so refused."""
    try:
        document = loosely(proven.body)
    except MalformedRequestError:
        document = None
    if isinstance(document, list):
        return entries_of(document)
    if isinstance(document, dict):
        return [proven]
    return [Proven(line) for line in proven.body.splitlines() if line.strip()]


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one log; types that start or end nothing are ignored.

    Raises:
        CallerError: the log does not say who or when.

    """
    return _read(json_object(proven.body), context)


def parse_eventbridge(proven: Proven, context: Context) -> Parsed:
    """Read one log in the envelope in which EventBridge delivers it.

    Raises:
        CallerError: it is no such envelope, or the log does not say who or when.

    """
    return _read(member(json_object(proven.body), "detail", dict), context)


def _read(item: _Json, context: Context) -> Parsed:
    log = member(item, "data", dict)
    kind = member(log, "type", str)
    if kind in _STARTS:
        return _started(log, _STARTS[kind](_inner("details", log)), kind, context)
    make = _ENDS.get(kind)
    if make is None:
        return IGNORED
    made = make(log, identifier("log_id", item.get("log_id")), context)
    return made if isinstance(made, Parsed) else Parsed((made,))


# --- starts -----------------------------------------------------------------------------------------------------------


def _started(log: _Json, session: str | None, kind: str, context: Context) -> Parsed:
    """Read a login at a client. A tenant may have several issuers, by its domains: the other ones' logins are ignored.

    A code that is exchanged is one only with a session. Without, it would stand beside the login that it comes from.
    """
    user, client, host = (_text(name, log) for name in ("user_id", "client_id", "hostname"))
    is_elsewhere = host is not None and f"https://{host.lower()}" != context.issuer.lower().rstrip("/")
    if user is None or client is None or is_elsewhere or (kind == _EXCHANGE and session is None):
        return IGNORED
    start = RpSessionStarted(
        sub=subject(user),
        client_id=identifier("client_id", client),
        started_at=start_time("date", log, context.now),
        sid=None if session is None else trusted_sid(identifier("sid", session), context.sid_trust),
    )
    return Parsed((start,))


def _session(details: _Json) -> str | None:
    return _text("session_id", details)


def _session_of_prompts(details: _Json) -> str | None:
    """Return the session of a silent login, which may be known from its prompts alone: if all of them name the same."""
    prompts = details.get("prompts")
    named = [_text("session_id", each) for each in prompts if isinstance(each, dict)] if isinstance(prompts, list) else []
    sessions = {each for each in named if each is not None}
    return _session(details) or (sessions.pop() if len(sessions) == 1 else None)


def _session_of_refresh_token(details: _Json) -> str | None:
    return _session(details) or _session(_inner("refresh_token", details))


# --- ends -------------------------------------------------------------------------------------------------------------


def _logged_out(log: _Json, log_id: str, context: Context) -> _Made:
    """Read a logout. Without a session, it is one of the user's; which one, nobody knows."""
    session, user = _session(_inner("details", log)), _text("user_id", log)
    at = end_time("date", log, context.now)
    if session is None:
        if user is None or context.unmatched_sid == "report":
            return UNMAPPABLE
        return SubjectSessionsEnded(subject(user), at, log_id, reason=Reason.LOGOUT)
    end = end_of_session(
        context, sid=identifier("sid", session), sub=user, ended_at=at, source_event_id=log_id, reason=Reason.LOGOUT
    )
    return UNMAPPABLE if end is None else end


def _token_revoked(log: _Json, log_id: str, context: Context) -> _Made:
    """Read the end of a refresh token: that client's part of its session is over, if both are named."""
    session, client = _session_of_refresh_token(_inner("details", log)), _text("client_id", log)
    if session is None or client is None:
        return IGNORED
    end = end_of_session(
        context,
        sid=identifier("sid", session),
        sub=_text("user_id", log),
        ended_at=end_time("date", log, context.now),
        source_event_id=log_id,
        client_id=identifier("client_id", client),
        reason=Reason.LOGOUT,
        cause="token_revoked",
    )
    return IGNORED if end is None else end


def _of_user(reason: Reason) -> Callable[[_Json, str, Context], _Made]:
    def make(log: _Json, log_id: str, context: Context) -> _Made:
        user = _text("user_id", log)
        if user is None:
            return UNMAPPABLE
        return SubjectSessionsEnded(subject(user), end_time("date", log, context.now), log_id, reason=reason)

    return make


def _operated(log: _Json, log_id: str, context: Context) -> _Made:
    """Read an operation of the Management API: a session is deleted or revoked, or all sessions of a user are."""
    request, response = (_inner(name, _inner("details", log)) for name in ("request", "response"))
    status, method = response.get("statusCode"), (_text("method", request) or "").upper()
    path = _PATH.fullmatch(_text("path", request) or "")
    if path is None or method != ("POST" if path["revoked"] else "DELETE") or not isinstance(status, int):
        return IGNORED
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return IGNORED
    at = end_time("date", log, context.now)
    if path["user"] is not None:
        return SubjectSessionsEnded(subject(unquote(path["user"])), at, log_id, reason=Reason.ADMIN_LOGOUT)
    sid = identifier("sid", unquote(path["session"] or path["revoked"]))
    end = end_of_session(context, sid=sid, sub=None, ended_at=at, source_event_id=log_id, reason=Reason.ADMIN_LOGOUT)
    return UNMAPPABLE if end is None else end


def _inner(name: str, document: _Json) -> _Json:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _text(name: str, document: _Json) -> str | None:
    """Return a member that says something: Auth0 also writes null and "" for what there is not."""
    value = document.get(name)
    return value if isinstance(value, str) and value else None


_PATH = re.compile(r"/api/v2/(sessions/(?P<revoked>[^/]+)/revoke|sessions/(?P<session>[^/]+)|users/(?P<user>[^/]+)/sessions)")
_EXCHANGE = "seacft"

_STARTS: Mapping[str, Callable[[_Json], str | None]] = {
    "s": _session,
    "ssa": _session_of_prompts,
    _EXCHANGE: _session_of_refresh_token,
}
"""Logins, and where they name their session."""

_ENDS: Mapping[str, Callable[[_Json, str, Context], _Made]] = {
    "slo": _logged_out,
    "scp": _of_user(Reason.CREDENTIAL_CHANGED),
    "sdu": _of_user(Reason.USER_DELETED),
    "srrt": _token_revoked,
    "sapi": _operated,
}

FORMAT = Format(
    verify=static_header.verify,
    parse=parse,
    entries=entries,
    check_secret=static_header.check_secret,
    success=HTTPStatus.OK,
    settings=EVENTS | {"sid_trust"},
    max_body=MAX_BODY,
    ends_sessions=frozenset(POLICIES) - {"token_revoked"},  # the end of a refresh token is not that of a session
)

EVENTBRIDGE_FORMAT = replace(FORMAT, verify=aws_iam.refuse, parse=parse_eventbridge, entries=None, check_secret=None, by_iam=True)
