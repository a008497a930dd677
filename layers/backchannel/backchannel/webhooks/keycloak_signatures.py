"""The two proofs of Keycloak's p2-inc listener: an HMAC over the body, or a JWT of the realm that names the body's digest. Pure.

Which of the two a source takes is configured, so nobody can choose the weaker one.
"""

import re

from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks import body_digests, hmac_signatures, jwt_claims
from backchannel.webhooks.request import Proven, Request, Trust

ALGORITHM = "HmacSHA256"
"""What the listener calls it. It can also do HmacSHA1, "for backwards compatibility"."""

_HEADER = "x-keycloak-signature"
_SHA_1 = re.compile(r"(sha1=)?[0-9a-f]{40}", re.IGNORECASE)


def check_algorithm(name: str | None) -> None:
    """Refuse an HMAC that is not verified here.

    Raises:
        RegistrationInvalidError: it is SHA-1, or unknown.

    """
    if name not in {None, ALGORITHM}:
        is_sha_1 = re.fullmatch(r"(hmac-?)?sha-?1", name or "", re.IGNORECASE)
        problem = f"{name} is refused, since nothing new should rely on SHA-1" if is_sha_1 else "algorithm is unknown"
        raise RegistrationInvalidError(f"{problem}: set the algorithm of the realm's webhook to {ALGORITHM}")


def signed_by_secret(request: Request, trust: Trust, _: int) -> Proven:
    """Verify the HMAC over the body.

    Raises:
        SignatureInvalidError: missing, wrong, or with SHA-1.

    """
    try:
        hmac_signatures.hex_over_body(_HEADER, request, trust.secrets())
    except SignatureInvalidError as error:
        if not _SHA_1.fullmatch(request.headers.get(_HEADER, "").strip()):
            raise
        raise SignatureInvalidError(f"the webhook signs with HmacSHA1, which is refused: set {ALGORITHM}") from error
    return Proven(request.body)


def signed_by_realm(request: Request, trust: Trust, now: int) -> Proven:
    """Verify the realm's JWT in the Authorization header: it names this source, this body, and a time until when.

    Raises:
        SignatureInvalidError: missing, not the realm's, for somebody else or another body, or expired.

    """
    claims = jwt_claims.claims_of(jwt_claims.bearer_token(request), trust, now)
    body_digests.require(claims, body_digests.in_hexadecimal(request.body))
    return Proven(request.body)
