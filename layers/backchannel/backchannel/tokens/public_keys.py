"""Public keys as KMS gives them, DER SubjectPublicKeyInfo, turned into JWKs (RFC 7517)."""

from typing import Any

from cryptography.hazmat.primitives.serialization import load_der_public_key
from jwcrypto.jwk import JWK


def public_jwk(public_key: bytes) -> dict[str, Any]:
    """Return the members that make the key, without ``kid``."""
    members: dict[str, Any] = _jwk(public_key).export_public(as_dict=True)
    return {name: value for name, value in members.items() if name != "kid"}


def thumbprint(public_key: bytes) -> str:
    """Return the RFC 7638 thumbprint of a key."""
    return _jwk(public_key).thumbprint()


def _jwk(public_key: bytes) -> JWK:
    return JWK.from_pyca(load_der_public_key(public_key))  # type: ignore[arg-type] # KMS has no other kinds
