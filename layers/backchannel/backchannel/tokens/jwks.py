"""The public keys of a ring as a JWK Set (RFC 7517)."""

from collections.abc import Iterable
from typing import Any

from backchannel.tokens.key_ring import PUBLISHED, SigningKey


def jwk_set(ring: Iterable[SigningKey]) -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set of a ring; every key names its ``alg``, ``use`` and ``kid``."""
    published = (key for key in ring if key.state in PUBLISHED)
    return {"keys": [{**key.jwk, "use": "sig", "alg": key.alg, "kid": key.kid} for key in published]}
