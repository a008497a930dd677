"""The generic event as the claims of a JWT (RFC 7519) that the sender signs with a key of its JWKS.

The body is the token (``application/jwt``), or ``{"token": <it>}``, which is what authentik's ``ak_create_jwt_raw`` makes.
"""

import json
from http import HTTPStatus

from backchannel.errors import CallerError, SignatureInvalidError
from backchannel.sessions.events import identifier
from backchannel.webhooks import standard_webhooks
from backchannel.webhooks.format import EVENTS, JWKS, Format
from backchannel.webhooks.jwt_claims import claims_of, token_of
from backchannel.webhooks.request import Proven, Request, Trust


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
