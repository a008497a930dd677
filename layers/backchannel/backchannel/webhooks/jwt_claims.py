"""JWTs (RFC 7519) that senders sign for a source: where they stand, and what their claims must say."""

import re
from collections.abc import Mapping
from typing import Any

from backchannel.errors import CallerError, SignatureInvalidError
from backchannel.webhooks import static_header
from backchannel.webhooks.request import Request, Trust, is_numeric_date, json_object

MAX_LIFE = 3600
"""Seconds from now, or from ``iat``, until a token may expire: until then it can be sent again."""

LEEWAY = 60
"""Seconds that the sender's clock may be ahead of ours, for ``iat`` and ``nbf``."""

PLAIN = re.compile(r"(application/)?jwt", re.IGNORECASE)
"""The type of a plain JWT: a logout token, an access token or a SET has its own (RFC 8725, section 3.11)."""


def claims_of(
    token: str, trust: Trust, now: int, *, typ: re.Pattern[str] | None = None, max_life: int = MAX_LIFE
) -> Mapping[str, Any]:
    """Return the claims of a JWT that the sender has signed for this source; ``now`` in milliseconds.

    ``typ`` that it must have, for tokens of another kind than a plain JWT. ``max_life``: seconds from now, or from ``iat``, until
    it may expire.

    Raises:
        SignatureInvalidError: another key has signed it, it is for somebody else, of another kind, or has expired.

    """
    claims = claims_without_issuer(token, trust, now, typ=typ, max_life=max_life)
    if claims.get("iss") != trust.issuer:
        raise SignatureInvalidError("iss is not the issuer of this source")
    return claims


def claims_without_issuer(
    token: str, trust: Trust, now: int, *, typ: re.Pattern[str] | None = None, max_life: int = MAX_LIFE
) -> Mapping[str, Any]:
    """Return the claims of a JWT whose ``iss`` nothing is known of: only its key says who has signed it.

    Raises:
        SignatureInvalidError: another key has signed it, it is for somebody else, of another kind, or has expired.

    """
    given, claims = trust.verified_jwt(token)
    is_plain = given is None and typ is None
    if not is_plain and not (typ or PLAIN).fullmatch(given or ""):
        raise SignatureInvalidError("typ is that of another kind of token")
    aud = claims.get("aud")
    if trust.audience is None or trust.audience not in (aud if isinstance(aud, list) else [aud]):
        raise SignatureInvalidError("aud is not the audience of this source")
    _check_times(claims, now / 1000, max_life)
    return claims


def bearer_token(request: Request) -> str:
    """Return the JWT in the Authorization header (RFC 6750, section 2.1).

    Raises:
        SignatureInvalidError: there is none.

    """
    token = static_header.credentials(request)
    if token is None:
        raise SignatureInvalidError("the Authorization header with a bearer token is missing")
    return token


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


def _check_times(claims: Mapping[str, Any], now: float, max_life: int) -> None:
    expires, issued, not_before = (_time(name, claims) for name in ("exp", "iat", "nbf"))
    if expires is None or not now < expires <= (now if issued is None else min(now, issued)) + max_life:
        raise SignatureInvalidError("exp is missing, over, or too far from iat or now")
    if any(time is not None and time > now + LEEWAY for time in (issued, not_before)):
        raise SignatureInvalidError("iat or nbf is in the future")


def _time(name: str, claims: Mapping[str, Any]) -> float | None:
    """Return a NumericDate in seconds, None if there is none."""
    value = claims.get(name)
    if value is None or is_numeric_date(value):
        return value
    raise SignatureInvalidError(f"{name} is no time in seconds")
