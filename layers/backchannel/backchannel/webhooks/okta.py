"""Okta's Event Hooks: batches of System Log events.

With what an administrator does, ``actor`` is the administrator; the user is the target. Only of what nobody does to another may
the actor be the user, where the event names none: a sign-on, a logout, too many wrong passwords. No event has the ``sid`` of
ID tokens, as far as is known, so no session is named. ``uuid`` stays the same when an event is sent again, which may be late:
there is no age limit.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import MalformedRequestError
from backchannel.reasons import POLICIES, Reason
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded, identifier, subject
from backchannel.webhooks import static_header
from backchannel.webhooks.batches import entries_of, loosely
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time, start_time
from backchannel.webhooks.request import IGNORED, MAX_BODY, UNMAPPABLE, Context, Parsed, Proven, Request, json_object, member

type _Json = Mapping[str, Any]


def entries(proven: Proven) -> list[Proven]:
    """Return the events of a batch.

    Raises:
        MalformedRequestError: the body is not that of an Event Hook.

    """
    document = loosely(proven.body)
    if not isinstance(document, dict):
        raise MalformedRequestError("the body is not a JSON object")
    return entries_of(member(member(document, "data", dict), "events", list))


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that start or end nothing, and what did not succeed, are ignored.

    Raises:
        CallerError: the event does not say when, or what it is.

    """
    document = json_object(proven.body)
    kind = member(document, "eventType", str)
    if kind == _SIGN_ON:
        return _started(document, context)
    reason = _ENDS.get(kind)
    if reason is None or not _OCCURRED.get(kind, _succeeded)(document):
        return IGNORED
    at, event_id = end_time("published", document, context.now), identifier("uuid", document.get("uuid"))
    user = _user(document) if kind in _OF_THE_ACTOR else _target("User", document)
    return UNMAPPABLE if user is None else Parsed((SubjectSessionsEnded(subject(user), at, event_id, reason=reason),))


def challenge(request: Request) -> Mapping[str, str]:
    """Return what Okta wants to see once, before it sends to an address.

    Raises:
        MalformedRequestError: it has not sent what it wants to see.

    """
    given = request.headers.get("x-okta-verification-challenge", "")
    if not _CHALLENGE.fullmatch(given):
        raise MalformedRequestError("x-okta-verification-challenge must have 1 to 512 visible ASCII characters")
    return {"verification": given}


def _started(document: _Json, context: Context) -> Parsed:
    """Read a sign-on to an application."""
    if not _succeeded(document):
        return IGNORED
    user, client = _user(document), _target("AppInstance", document)
    if user is None or client is None:
        return IGNORED
    at = start_time("published", document, context.now)
    return Parsed((RpSessionStarted(subject(user), identifier("client_id", client), at),))


def _target(kind: str, document: _Json) -> object:
    """Return the id of the one target of a type, None if there is none, or several."""
    ids = _targets(kind, document)
    return ids[0] if ids and all(each == ids[0] for each in ids) else None


def _targets(kind: str, document: _Json) -> list[object]:
    targets = document.get("target")
    found = targets if isinstance(targets, list) else []
    return [each.get("id") for each in found if isinstance(each, dict) and each.get("type") == kind]


def _user(document: _Json) -> object:
    """Return the one user whom an event names, or else, if it names none, the user who acted, if Okta knows him."""
    if _targets("User", document):
        return _target("User", document)
    actor = document.get("actor")
    acting = actor.get("id") if isinstance(actor, dict) and actor.get("type") == "User" else None
    return None if acting == "unknown" else acting


def _succeeded(document: _Json) -> bool:
    outcome = document.get("outcome")
    result = outcome.get("result") if isinstance(outcome, dict) else None
    return isinstance(result, str) and result.casefold() == "success"


def _is_locked(document: _Json) -> bool:
    """Whether an account was locked: the outcome may be that of the sign-on, which failed."""
    outcome = document.get("outcome")
    return _succeeded(document) or (isinstance(outcome, dict) and str(outcome.get("reason")).casefold() == "locked_out")


def _is_enforced(document: _Json) -> bool:
    """Whether a policy that failed has any effect; its name says that it failed, whatever the outcome."""
    return str(_debug("CaeEnforceMode", document)).casefold() != "false"


def _is_high(document: _Json) -> bool:
    risk = _debug("Risk", document)
    if isinstance(risk, dict):
        return str(risk.get("level")).casefold() == "high"
    return isinstance(risk, str) and _HIGH.search(risk) is not None


def _debug(name: str, document: _Json) -> object:
    """Return a member of the debug data, whose names are not always spelled alike."""
    context = document.get("debugContext")
    data = context.get("debugData") if isinstance(context, dict) else None
    found = data if isinstance(data, dict) else {}
    return next((value for key, value in found.items() if key.casefold() == name.casefold()), None)


_CHALLENGE = re.compile(r"[!-~]{1,512}")
_HIGH = re.compile(r"(?<![a-z])level *= *high\b", re.IGNORECASE)
"""Not the previous level."""

_SIGN_ON = "user.authentication.sso"

_ENDS: Mapping[str, Reason] = {
    "user.session.end": Reason.LOGOUT,  # of one browser, but it names the user alone
    "user.session.clear": Reason.ADMIN_LOGOUT,
    "user.authentication.universal_logout": Reason.SESSION_REVOKED,
    "user.authentication.universal_logout.scheduled": Reason.SESSION_REVOKED,
    "user.lifecycle.deactivate": Reason.USER_DISABLED,
    "user.lifecycle.suspend": Reason.USER_DISABLED,
    "user.lifecycle.delete.initiated": Reason.USER_DELETED,
    "user.account.lock": Reason.USER_DISABLED,
    "user.account.update_password": Reason.CREDENTIAL_CHANGED,
    "user.account.reset_password": Reason.CREDENTIAL_CHANGED,
    "policy.auth_reevaluate.fail": Reason.COMPROMISED,
    "user.risk.change": Reason.COMPROMISED,
    "user.risk.detect": Reason.COMPROMISED,  # its later name
}

_OF_THE_ACTOR = frozenset({"user.session.end", "user.account.lock"})
"""What nobody does to another. Without a target, the actor is the user."""

_OCCURRED: Mapping[str, Callable[[_Json], bool]] = {
    "user.account.lock": _is_locked,
    "policy.auth_reevaluate.fail": _is_enforced,
    "user.risk.change": _is_high,
    "user.risk.detect": _is_high,
}
"""When an event of a type means anything, if not whenever its outcome is success."""

FORMAT = Format(
    verify=static_header.verify,
    parse=parse,
    entries=entries,
    check_secret=static_header.check_secret,
    success=HTTPStatus.OK,
    settings=EVENTS,
    max_body=MAX_BODY,
    challenge=challenge,
    ends_sessions=frozenset(POLICIES) - {"logout", "compromised"},  # one browser's logout, and a guess
)
