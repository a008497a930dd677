"""JWS compact serialisation (RFC 7515) for a remote signer: what it has to sign, and the token with its signature."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A JWS algorithm (RFC 7518, section 3.1) and how KMS names it."""

    kms: str
    key_spec: str
    der: bool = False
    """Whether KMS returns the signature in DER. JWS needs R and S, concatenated (RFC 7518, section 3.4)."""


ALGORITHMS: Mapping[str, Algorithm] = {
    "RS256": Algorithm(kms="RSASSA_PKCS1_V1_5_SHA_256", key_spec="RSA_2048"),
    "PS256": Algorithm(kms="RSASSA_PSS_SHA_256", key_spec="RSA_2048"),
    "ES256": Algorithm(kms="ECDSA_SHA_256", key_spec="ECC_NIST_P256", der=True),
}

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_ES256_INTEGER = 32
"""Octets of R and of S on P-256."""

_SHORT_FORM = 0x7F
"""The largest DER length that is written in one octet. No part of a P-256 signature is longer."""


def encode(octets: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    """Return the octets to be signed (RFC 7515, section 5.1, step 5)."""
    return f"{encode(_json(header))}.{encode(_json(claims))}".encode("ascii")


def serialize(signed: bytes, signature: bytes) -> str:
    """Return the finished token: what was signed, and the signature."""
    return f"{signed.decode('ascii')}.{encode(signature)}"


def raw_signature(der: bytes) -> bytes:
    """Turn ``SEQUENCE { r INTEGER, s INTEGER }`` of P-256 into the 64 octets of R and S.

    Raises:
        ValueError: ``der`` is something else.

    """
    body = _value(der, 0x30, 0)
    r = _value(body, 0x02, 0)
    s = _value(body, 0x02, 2 + len(r))
    if len(der) != 2 + len(body) or len(body) != 4 + len(r) + len(s):
        raise ValueError("octets behind the DER signature")
    return b"".join(_integer(octets) for octets in (r, s))


def _value(der: bytes, tag: int, at: int) -> bytes:
    """Read one DER value with a length of one octet."""
    if len(der) < at + 2 or der[at] != tag or der[at + 1] > _SHORT_FORM or len(der) < at + 2 + der[at + 1]:
        raise ValueError("not a DER signature")
    return der[at + 2 : at + 2 + der[at + 1]]


def _integer(octets: bytes) -> bytes:
    number = int.from_bytes(octets, signed=True) if octets else -1
    if number <= 0 or number.bit_length() > 8 * _ES256_INTEGER:
        raise ValueError("not an integer of a P-256 signature")
    return number.to_bytes(_ES256_INTEGER)


def _json(value: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(value).encode()
