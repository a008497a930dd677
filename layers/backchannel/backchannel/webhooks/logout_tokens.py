"""``logout-token``: the provider's own back-channel logout, received here (Back-Channel Logout 1.0, sections 2.4 to 2.6). Pure.

A token says that client ``aud`` had a session, and that it is over: it is a start and an end.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from backchannel.errors import IssuerMismatchError, LogoutTokenInvalidError, MalformedRequestError, SignatureInvalidError
from backchannel.sessions.events import (
    EARLIEST,
    MAX_CLOCK_DIFFERENCE,
    Ended,
    SessionEnded,
    SubjectSessionsEnded,
    identifier,
    subject,
)
from backchannel.webhooks.format import JWKS, Format
from backchannel.webhooks.request import (
    Context,
    Parsed,
    Proven,
    Request,
    Trust,
    UnmatchedSid,
    is_form,
    is_numeric_date,
    json_object,
)

LOGOUT_TOKEN = "logout-token"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
MAX_LIFETIME = 3_600
"""Seconds that a token may live if its source does not say otherwise: authentik's live an hour."""

MAX_AUDIENCE = 20
MAX_FIELDS = 20
MAX_FORM = 65_536
"""Octets; four times those of the longest token."""

LEEWAY = 60
"""Seconds that the provider's clock may differ from ours where a token runs out."""

_TYPES = re.compile(r"(application/)?(logout\+jwt|jwt)", re.IGNORECASE)
"""Senders write each of them, or no ``typ``: ``events``, and that there is no ``nonce``, tell the token from an ID token."""

_REST_OF_SECOND = 999
"""Milliseconds."""


@dataclass(frozen=True, slots=True)
class LogoutTokenClaims:
    """What a logout token says; times in milliseconds. ``issued_at`` is cut to the time of receipt, ``expires_at`` is not."""

    audience: tuple[str, ...]
    jti: str = field(repr=False)
    issued_at: int
    expires_at: int | None
    sub: str | None
    sid: str | None

    def end(self, client_id: str | None, now: int, unmatched_sid: UnmatchedSid) -> Ended:
        """Return what is over: the whole session, or without ``sid`` what the subject has at one client, or at all clients."""
        ended_at = min(self.issued_at + _REST_OF_SECOND, now)
        if self.sid is not None:
            unmatched_sub = self.sub if unmatched_sid == "end_subject" else None
            return SessionEnded(self.sid, ended_at, self.jti, unmatched_sub=unmatched_sub)
        return SubjectSessionsEnded(self.sub or "", ended_at, self.jti, client_id)


def verify(request: Request, trust: Trust, now: int) -> Proven:
    """Return the claims of a logout token of the provider's that is for this source (section 2.6); ``now`` in milliseconds.

    Raises:
        SignatureInvalidError: it does not come as a form, or the provider has not signed it.
        CallerError: it is not the token that it should be.

    """
    if not is_form(request):
        raise SignatureInvalidError("a logout token comes as a form")
    typ, claims = trust.verified_jwt(token_in(request))
    if typ is not None and not _TYPES.fullmatch(typ):
        raise LogoutTokenInvalidError("typ is that of another kind of token")
    found = read(claims, trust.issuer, now)
    _check_times(found, _time("iat", claims), trust, now)
    if trust.audience is not None and trust.audience not in found.audience:
        raise LogoutTokenInvalidError("aud is not the audience of this source")
    return Proven(json.dumps(claims).encode())


def parse(proven: Proven, context: Context) -> Parsed:
    """Return the ends: one for a whole session, whoever the token is for."""
    claims = read(json_object(proven.body), context.issuer, context.now)
    clients = [None] if claims.sid is not None or context.stands_for_all else claims.audience
    return Parsed(tuple(claims.end(client_id, context.now, context.unmatched_sid) for client_id in clients))


def read(claims: Mapping[str, Any], issuer: str, now: int) -> LogoutTokenClaims:
    """Read the claims of a token; whether its times and its audience are right depends on the source.

    Raises:
        CallerError: they are not those of a logout token of this issuer.

    """
    if claims.get("iss") != issuer:
        raise IssuerMismatchError("iss is not exactly the issuer of this provider")
    if "nonce" in claims:
        raise LogoutTokenInvalidError("nonce must not be there")
    events = claims.get("events")
    if not isinstance(events, dict) or events.keys() != {EVENT} or not isinstance(events[EVENT], dict):
        raise LogoutTokenInvalidError("events must be that of a back-channel logout and no other")
    issued_at = _time("iat", claims)
    if not EARLIEST <= issued_at <= now + MAX_CLOCK_DIFFERENCE:
        raise LogoutTokenInvalidError("iat is in the future, or not in seconds")
    sub, sid = claims.get("sub"), claims.get("sid")
    if sub is None and sid is None:
        raise LogoutTokenInvalidError("sub or sid must be there")
    return LogoutTokenClaims(
        audience=_audience(claims.get("aud")),
        jti=identifier("jti", claims.get("jti")),
        issued_at=min(issued_at, now),
        expires_at=None if claims.get("exp") is None else _time("exp", claims),
        sub=None if sub is None else subject(sub),
        sid=None if sid is None else identifier("sid", sid),
    )


def token_in(request: Request) -> str:
    """Return the token of a form; other parameters are ignored (section 2.5).

    Raises:
        MalformedRequestError: there is none, or more than one.

    """
    if len(request.body) > MAX_FORM:
        raise MalformedRequestError("the form is larger than any token needs")
    try:
        fields = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise MalformedRequestError("the body is no form, or one of too many fields") from error
    tokens = [value for name, value in fields if name == "logout_token"]
    if len(tokens) != 1:
        raise MalformedRequestError("the form must have one logout_token")
    return tokens[0]


def _check_times(claims: LogoutTokenClaims, issued_at: int, trust: Trust, now: int) -> None:
    """Check that a token is neither too old nor lives too long, both by the provider's clock."""
    leeway, longest = LEEWAY * 1000, (trust.max_lifetime or MAX_LIFETIME) * 1000
    if claims.expires_at is None:
        if not trust.tolerate_missing_exp:
            raise LogoutTokenInvalidError("exp is missing, which this source does not tolerate")
        if now - claims.issued_at > longest + leeway:
            raise LogoutTokenInvalidError("the token is too old")
        return
    if now > claims.expires_at + leeway:
        raise LogoutTokenInvalidError("the token has expired")
    if claims.expires_at - issued_at > longest + leeway:
        raise LogoutTokenInvalidError("the token lives longer than max_lifetime")


def _audience(aud: object) -> tuple[str, ...]:
    found: Collection[object] = aud if isinstance(aud, list) else [aud]
    if not 1 <= len(found) <= MAX_AUDIENCE:
        raise LogoutTokenInvalidError(f"aud must name 1 to {MAX_AUDIENCE} clients")
    return tuple(dict.fromkeys(identifier("aud", each) for each in found))


def _time(name: str, claims: Mapping[str, Any]) -> int:
    """Return a NumericDate in milliseconds."""
    value = claims.get(name)
    if not is_numeric_date(value):
        raise LogoutTokenInvalidError(f"{name} must be a time in seconds")
    return round(value * 1000)


FORMAT = Format(
    verify=verify,
    parse=parse,
    check_secret=None,
    success=HTTPStatus.OK,
    settings=JWKS | {"audience", "pass_on", "tolerate_missing_exp", "max_lifetime"},
)
