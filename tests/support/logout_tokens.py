"""Logout tokens as identity providers sign them, and the JWK Set that they publish."""

import base64
import json
import time
import warnings
from typing import Any

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

EVENT = "http://schemas.openid.net/event/backchannel-logout"

type Json = dict[str, Any]
type Key = RSAKey | ECKey | OKPKey | OctKey

SENDERS: dict[str, Json] = {
    "authentik": {"header": {"alg": "RS256", "typ": "logout+jwt"}, "lives": 3600, "without": ()},
    "keycloak": {"header": {"alg": "RS256", "typ": "logout+jwt"}, "lives": 120, "without": ()},
    "zitadel": {"header": {"alg": "RS256"}, "lives": 900, "without": ()},
    "hydra": {"header": {"alg": "RS256", "typ": "JWT"}, "lives": None, "without": ("sub",), "aud_is_list": True},
    "better-auth": {"header": {"alg": "EdDSA", "typ": "logout+jwt"}, "lives": 120, "without": ()},
}
"""How the tokens of some providers differ: their header, how many seconds they live, what they lack."""


class TokenSigner:
    """Signs as a provider does, with keys of its own."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.keys: dict[str, Key] = {
            "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
            "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
            "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "okp"}),
        }

    @property
    def jwk_set(self) -> Json:
        """Return the set that the provider publishes."""
        return {"keys": [key.as_dict(private=False) for key in self.keys.values()]}

    def claims(self, client_id: str, *, now: float | None = None, lives: int | None = 120, **changed: Any) -> Json:
        """Return claims; one that is changed to None is left out."""
        iat = int(time.time() if now is None else now)
        claims = {
            "iss": self.issuer,
            "aud": client_id,
            "iat": iat,
            "exp": None if lives is None else iat + lives,
            "jti": f"jti-{time.monotonic_ns()}",
            "events": {EVENT: {}},
            "sub": "ada",
            "sid": "sid-of-ada",
        }
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def sign(self, claims: Json, key: Key | None = None, **header: Any) -> str:
        """Return a token; a member of the header that is None is left out."""
        alg = str(header.get("alg") or "RS256")
        key = key or self.keys[alg]
        members = {"alg": alg, "kid": key.kid, "typ": "logout+jwt", **header}
        protected = {name: value for name, value in members.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
        with warnings.catch_warnings(category=SecurityWarning, action="ignore"):  # RFC 9864 would call EdDSA by its curve
            return jws.serialize_compact(protected, json.dumps(claims).encode(), key, registry=registry)

    def of(self, sender: str, client_id: str, **changed: Any) -> str:
        """Return a token as one of SENDERS signs it."""
        how = SENDERS[sender]
        audience = [client_id] if how.get("aud_is_list") else client_id
        members = {"aud": audience, **changed, **dict.fromkeys(how["without"])}
        return self.sign(self.claims(client_id, lives=how["lives"], **members), **{"typ": None, **how["header"]})


def unsigned(claims: Json) -> str:
    """Return a token with alg none."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "typ": "logout+jwt"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
