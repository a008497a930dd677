"""Public keys as a JWK Set (RFC 7517), made from what KMS returns."""

from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.serialization import load_der_public_key
from jwcrypto.jwk import JWK

from backchannel.tokens.key_ring import SigningKey


def thumbprint(public_key: bytes) -> str:
    """Return the ``kid`` of a key given as DER SubjectPublicKeyInfo: its RFC 7638 thumbprint."""
    return _jwk(public_key).thumbprint()


def jwk_set(keys: Iterable[tuple[SigningKey, bytes]]) -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set of keys and their public halves in DER; every key names its ``alg``, ``use`` and ``kid``."""
    return {
        "keys": [
            {**_jwk(public_key).export_public(as_dict=True), "use": "sig", "alg": key.alg, "kid": key.kid}
            for key, public_key in keys
        ],
    }


def _jwk(public_key: bytes) -> JWK:
    return JWK.from_pyca(load_der_public_key(public_key))  # type: ignore[arg-type] # KMS has no other kinds
