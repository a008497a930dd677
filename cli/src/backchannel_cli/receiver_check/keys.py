"""The keys of one check, made for it and never stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jwcrypto.jwk import JWK

KINDS: Mapping[str, Mapping[str, Any]] = {
    "RS256": {"kty": "RSA", "size": 2048},
    "PS256": {"kty": "RSA", "size": 2048},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
"""The algorithms that a check can sign with, and the kind of key that each takes."""


@dataclass(frozen=True, slots=True)
class ThrowAwayKeys:
    """``signing`` and ``other`` (of another algorithm) are in the issuer's JWKS; ``stranger`` never is."""

    alg: str
    signing: JWK
    other: JWK
    stranger: JWK

    @classmethod
    def make(cls, alg: str) -> "ThrowAwayKeys":
        return cls(alg, _key(alg), _key(other_algorithm(alg)), _key(alg))

    @property
    def other_alg(self) -> str:
        return other_algorithm(self.alg)

    def jwks(self) -> dict[str, Any]:
        """Return the public keys of the issuer."""
        return {"keys": [public(self.signing, self.alg), public(self.other, self.other_alg)]}


def other_algorithm(alg: str) -> str:
    """Return what the conformance suite takes for a wrong algorithm: ES256 for RSA, RS256 for the others."""
    return "ES256" if KINDS[alg]["kty"] == "RSA" else "RS256"


def kid(key: JWK) -> str:
    return str(key.thumbprint())


def public(key: JWK, alg: str) -> dict[str, Any]:
    return {**key.export_public(as_dict=True), "kid": kid(key), "use": "sig", "alg": alg}


def _key(alg: str) -> JWK:
    return JWK.generate(**KINDS[alg])
