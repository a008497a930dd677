"""A JWT beside the body that names the body's SHA-256 in ``request_body_sha256``: so its signature covers the body, too."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from backchannel.errors import SignatureInvalidError


def in_hexadecimal(body: bytes) -> str:
    """Return the digest as Keycloak's p2-inc listener writes it."""
    return hashlib.sha256(body).hexdigest()


def in_base64(body: bytes) -> str:
    """Return the digest as FusionAuth writes it."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def require(claims: Mapping[str, Any], digest: str) -> None:
    """Refuse a JWT for another body. Its digest is no secret, so how close it came may show.

    Raises:
        SignatureInvalidError: it names another digest, or none.

    """
    if claims.get("request_body_sha256") != digest:
        raise SignatureInvalidError("request_body_sha256 is missing, or not that of this body")
