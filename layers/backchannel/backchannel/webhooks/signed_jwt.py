"""The generic event as the claims of a JWT (RFC 7519) that the sender signs with a key of its JWKS.

The body is the token (``application/jwt``), or ``{"token": <it>}``, which is what authentik's ``ak_create_jwt_raw`` makes.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import CallerError, SignatureInvalidError
from backchannel.sessions.events import identifier
from backchannel.webhooks import standard_webhooks
from backchannel.webhooks.format import EVENTS, JWKS, Format
from backchannel.webhooks.request import Proven, Request, Trust, is_numeric_date, json_object

MAX_LIFE = 3600
"""Seconds from now, or from ``iat``, until a token may expire: until then it can be sent again."""

LEEWAY = 60
"""Seconds that the sender's clock may be ahead of ours, for ``iat`` and ``nbf``."""

_TYP = re.compile(r"(application/)?jwt", re.IGNORECASE)
"""The type of a plain JWT: a logout token, an access token or a SET has its own (RFC 8725, section 3.11)."""


def verify(request: Request, trust: Trust, now: int) -> Proven:
    """Return the claims of a token that the sender has signed for this source.

    Raises:
        SignatureInvalidError: there is none, another key has signed it, it is for somebody else, of another kind, or has expired.

    """
    claims = claims_of(token_of(request), trust, now)
    if not isinstance(claims.get("type"), str) and not isinstance(claims.get("events"), list):
        raise SignatureInvalidError("type and events are missing: an ID token or an access token has neither")
    try:
        event_id = identifier("jti", claims.get("jti"))
    except CallerError as error:
        raise SignatureInvalidError("jti is missing or no id") from error
    return Proven(json.dumps(claims).encode(), event_id)


def claims_of(token: str, trust: Trust, now: int) -> Mapping[str, Any]:
    """Return the claims of a JWT that the sender has signed for this source; ``now`` in milliseconds.

    Raises:
        SignatureInvalidError: another key has signed it, it is for somebody else, of another kind, or has expired.

    """
    claims = claims_without_issuer(token, trust, now)
    if claims.get("iss") != trust.issuer:
        raise SignatureInvalidError("iss is not the issuer of this source")
    return claims


def claims_without_issuer(token: str, trust: Trust, now: int) -> Mapping[str, Any]:
    """Return the claims of a JWT whose ``iss`` nothing is known of: only its key says who has signed it.

    Raises:
        SignatureInvalidError: another key has signed it, it is for somebody else, of another kind, or has expired.

    """
    typ, claims = trust.verified_jwt(token)
    if typ is not None and not _TYP.fullmatch(typ):
        raise SignatureInvalidError("typ is that of another kind of token")
    aud = claims.get("aud")
    if trust.audience is None or trust.audience not in (aud if isinstance(aud, list) else [aud]):
        raise SignatureInvalidError("aud is not the audience of this source")
    _check_times(claims, now / 1000)
    return claims


def token_of(request: Request) -> str:
    """Return the JWT that the body is, or that it has as ``token``.

    Raises:
        SignatureInvalidError: there is none.

    """
    body = request.body.strip()
    try:
        token = json_object(body).get("token") if body.startswith(b"{") else body.decode("ascii")
    except (CallerError, ValueError) as error:
        raise SignatureInvalidError("the body is no token") from error
    if not isinstance(token, str):
        raise SignatureInvalidError("the body has no token")
    return token


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued, not_before = (_time(name, claims) for name in ("exp", "iat", "nbf"))
    if expires is None or not now < expires <= (now if issued is None else min(now, issued)) + MAX_LIFE:
        raise SignatureInvalidError("exp is missing, over, or too far from iat or now")
    if any(time is not None and time > now + LEEWAY for time in (issued, not_before)):
        raise SignatureInvalidError("iat or nbf is in the future")


def _time(name: str, claims: Mapping[str, Any]) -> float | None:
    """Return a NumericDate in seconds, None if there is none."""
    value = claims.get(name)
    if value is None or is_numeric_date(value):
        return value
    raise SignatureInvalidError(f"{name} is no time in seconds")


FORMAT = Format(
    verify=verify,
    parse=standard_webhooks.parse,
    entries=standard_webhooks.entries,
    check_secret=None,
    success=HTTPStatus.OK,
    settings=JWKS | EVENTS | {"sid_trust", "require_iss", "audience", "token_issuer"},
    required=frozenset({"audience"}),
    event_id_is_beside=True,  # jti, which other JWTs have, too
)
