"""FusionAuth. No event tells of a logout; the end of a refresh token is the nearest.

A user may wait for the answer, and fail by a refusal: an event that is not valid is refused without an error.

``X-FusionAuth-Signature-JWT`` names the body's digest, but no time and no receiver: an age limit and the event's own id bound a
replay. ``user`` objects hold personal data, of which only the id is kept.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import SignatureInvalidError
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded, event_time, identifier, subject
from backchannel.webhooks import body_digests
from backchannel.webhooks.format import EVENTS, JWKS, Format
from backchannel.webhooks.jwt_claims import PLAIN
from backchannel.webhooks.request import IGNORED, Context, Parsed, Proven, Request, Trust, json_object, member

MAX_AGE = 3600
"""Seconds: longer than a transaction may wait for its webhooks."""

_HEADER = "x-fusionauth-signature-jwt"

type _Make = Callable[[Mapping[str, Any], int, str], Parsed]


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that start or end nothing are ignored.

    Raises:
        CallerError: the event does not say what started or ended.

    """
    event = member(json_object(proven.body), "event", dict)
    make = _TYPES.get(member(event, "type", str))
    if make is None:
        return IGNORED
    at = event_time(member(event, "createInstant", int), context.now)
    return make(event, at, identifier("event.id", event.get("id")))


def entries(proven: Proven) -> list[Proven]:
    """Return the event as a batch of one."""
    return [proven]


def _logged_in(event: Mapping[str, Any], at: int, _: str) -> Parsed:
    """Return the start at an application; who logs in to none has no RP session."""
    if event.get("applicationId") is None:
        return IGNORED
    sub = subject(member(event, "user", dict).get("id"))
    return Parsed((RpSessionStarted(sub, identifier("client_id", event["applicationId"]), at),))


def _refresh_token_revoked(event: Mapping[str, Any], at: int, event_id: str) -> Parsed:
    """Return the end at one application, or everywhere. Without a user it is that of all users, who stay logged in."""
    if event.get("userId") is None:
        return IGNORED
    given = event.get("applicationId")
    client_id = None if given is None else identifier("client_id", given)
    sub = subject(event["userId"])
    return Parsed((SubjectSessionsEnded(sub, at, event_id, client_id, Reason.LOGOUT, "token_revoked"),))


def _of_user(reason: Reason) -> _Make:
    def make(event: Mapping[str, Any], at: int, event_id: str) -> Parsed:
        sub = subject(member(event, "user", dict).get("id"))
        return Parsed((SubjectSessionsEnded(sub, at, event_id, reason=reason),))

    return make


def _verify(request: Request, trust: Trust, _: int) -> Proven:
    typ, claims = trust.verified_jwt(request.headers.get(_HEADER, "").strip())
    if typ is not None and not PLAIN.fullmatch(typ):
        raise SignatureInvalidError("typ is that of another kind of token")
    body_digests.require(claims, body_digests.in_base64(request.body))
    return Proven(request.body)


_TYPES: Mapping[str, _Make] = {
    "user.login.success": _logged_in,
    "jwt.refresh-token.revoke": _refresh_token_revoked,
    "user.deactivate": _of_user(Reason.USER_DISABLED),
    "user.delete": _of_user(Reason.USER_DELETED),
    "user.password.update": _of_user(Reason.CREDENTIAL_CHANGED),
}

FORMAT = Format(
    verify=_verify,
    parse=parse,
    entries=entries,
    check_secret=None,
    success=HTTPStatus.OK,
    settings=JWKS | EVENTS,
    max_age=MAX_AGE,
)
