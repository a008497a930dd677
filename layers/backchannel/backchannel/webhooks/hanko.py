"""Hanko. The body is ``{"token": <JWT>, "event": …}``, and only the JWT's own ``evt`` is signed. It names no issuer.

An event has no id. A session, and a user, is deleted once, so that type and id make one.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import MalformedRequestError, SignatureInvalidError
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, SubjectSessionsEnded, event_time, identifier, subject
from backchannel.webhooks import jwt_claims
from backchannel.webhooks.format import EVENTS, JWKS, Format
from backchannel.webhooks.request import (
    IGNORED,
    UNMAPPABLE,
    Context,
    Parsed,
    Proven,
    Request,
    Trust,
    is_numeric_date,
    json_object,
    member,
)
from backchannel.webhooks.sids import end_of_session

_SENDER = "hanko webhooks"
_PASSIVE = "session.delete.passive."
"""Of a session that Hanko ended by itself, so the user's other sessions go on: it expired, or there were too many."""

_REASONS: Mapping[str, Reason] = {
    "session.delete.explicit.revoke": Reason.SESSION_REVOKED,
    "session.delete.admin.revoke": Reason.ADMIN_LOGOUT,
    "session.delete.passive.expire": Reason.EXPIRED,
}
"""Of the others, the reason is a mere logout."""

_REST_OF_SECOND = 999
"""Milliseconds: ``iat`` has whole seconds."""


def verify(request: Request, trust: Trust, now: int) -> Proven:
    """Return the claims of the JWT in the body.

    Raises:
        SignatureInvalidError: there is none, another key has signed it, it is for somebody else, is no event, or has expired.

    """
    claims = jwt_claims.claims_without_issuer(jwt_claims.token_of(request), trust, now)
    if claims.get("sub") != _SENDER or not isinstance(claims.get("evt"), str):
        raise SignatureInvalidError("sub or evt is not that of a webhook: a session's own token is signed by the same key")
    return Proven(json.dumps(claims).encode())


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that end nothing are ignored.

    Raises:
        CallerError: the event does not say what ended.

    """
    claims = json_object(proven.body)
    kind = member(claims, "evt", str)
    is_session = f"{kind}.".startswith("session.delete.")
    if not is_session and kind != "user.delete":
        return IGNORED
    data, at = member(claims, "data", dict), _ended_at(claims, context.now)
    event_id = f"{identifier('evt', kind)}:{identifier('data.id', data.get('id'))}"
    event = _session_over(data, kind, at, event_id, context) if is_session else _user_deleted(data, at, event_id)
    return UNMAPPABLE if event is None else Parsed((event,))


def _session_over(data: Mapping[str, Any], kind: str, at: int, event_id: str, context: Context) -> Ended | None:
    return end_of_session(
        context,
        sid=identifier("sid", data.get("id")),
        sub=None if kind.startswith(_PASSIVE) else data.get("user_id"),
        ended_at=at,
        source_event_id=event_id,
        reason=_REASONS.get(kind, Reason.LOGOUT),
    )


def _user_deleted(data: Mapping[str, Any], at: int, event_id: str) -> Ended:
    return SubjectSessionsEnded(subject(data.get("id")), at, event_id, reason=Reason.USER_DELETED)


def _ended_at(claims: Mapping[str, Any], now: int) -> int:
    issued = claims.get("iat")
    if not is_numeric_date(issued):
        raise MalformedRequestError("iat is missing or no time in seconds")
    return min(event_time(round(issued * 1000), now) + _REST_OF_SECOND, now)


FORMAT = Format(
    verify=verify,
    parse=parse,
    check_secret=None,
    success=HTTPStatus.OK,
    settings=JWKS | EVENTS | {"sid_trust", "audience"},
    required=frozenset({"sid_trust", "audience"}),
)
