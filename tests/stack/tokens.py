"""Logout tokens verified as a relying party does it: with a library that is not ours, and the keys that are published."""

import warnings
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet

from tests.support.provider import Provider

EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class Verified:
    header: dict[str, Any]
    claims: dict[str, Any]


def published_keys(provider: Provider) -> KeySet:
    response = provider.stack.request("GET", f"{provider.path}/jwks.json")
    assert response.status == 200
    return KeySet.import_key_set(response.body)


def verified(provider: Provider, token: str, alg: str = "RS256") -> Verified:
    """Verify a token by the published key that its header names.

    Raises:
        JoseError: it is not a JWT signed with this algorithm by one of the provider's keys.

    """
    with warnings.catch_warnings(category=SecurityWarning, action="ignore"):  # RFC 9864 calls EdDSA by its curve
        decoded = jwt.decode(token, published_keys(provider), algorithms=[alg])
    return Verified(decoded.header, decoded.claims)
