"""JWS compact serialisation (RFC 7515) for a remote signer: what it has to sign, and the token with its signature."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A JWS algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1) and how KMS names it.

    ``digest`` is the hash that KMS is given instead of what is signed; None if it takes the whole. ``integer``: octets of R and
    of S. KMS returns them in DER, JWS needs them concatenated (RFC 7518, section 3.4); None where there is nothing to convert.
    """

    kms: str
    key_spec: str
    digest: Literal["sha256", "sha384", "sha512"] | None
    integer: int | None = None


ALGORITHMS: Mapping[str, Algorithm] = {
    "RS256": Algorithm("RSASSA_PKCS1_V1_5_SHA_256", "RSA_2048", "sha256"),
    "RS384": Algorithm("RSASSA_PKCS1_V1_5_SHA_384", "RSA_2048", "sha384"),
    "RS512": Algorithm("RSASSA_PKCS1_V1_5_SHA_512", "RSA_2048", "sha512"),
    "PS256": Algorithm("RSASSA_PSS_SHA_256", "RSA_2048", "sha256"),
    "PS384": Algorithm("RSASSA_PSS_SHA_384", "RSA_2048", "sha384"),
    "PS512": Algorithm("RSASSA_PSS_SHA_512", "RSA_2048", "sha512"),
    "ES256": Algorithm("ECDSA_SHA_256", "ECC_NIST_P256", "sha256", integer=32),
    "ES384": Algorithm("ECDSA_SHA_384", "ECC_NIST_P384", "sha384", integer=48),
    "ES512": Algorithm("ECDSA_SHA_512", "ECC_NIST_P521", "sha512", integer=66),
    "EdDSA": Algorithm("ED25519_SHA_512", "ECC_NIST_EDWARDS25519", None),
}

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

_SHORT_FORM = 0x7F
"""The largest DER length that is written in one octet."""

_ONE_OCTET_FOLLOWS = 0x81
"""Announces a length of one octet; the signatures of P-521 need it."""


def encode(octets: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    """Return the octets to be signed (RFC 7515, section 5.1, step 5)."""
    return f"{encode(_json(header))}.{encode(_json(claims))}".encode("ascii")


def serialize(signed: bytes, signature: bytes) -> str:
    """Return the finished token: what was signed, and the signature."""
    return f"{signed.decode('ascii')}.{encode(signature)}"


def raw_signature(der: bytes, octets: int) -> bytes:
    """Turn ``SEQUENCE { r INTEGER, s INTEGER }`` into R and S of so many octets each.

    Raises:
        ValueError: ``der`` is something else.

    """
    body, end = _value(der, 0x30, 0)
    r, after_r = _value(body, 0x02, 0)
    s, after_s = _value(body, 0x02, after_r)
    if end != len(der) or after_s != len(body):
        raise ValueError("octets behind the DER signature")
    return b"".join(_integer(each, octets) for each in (r, s))


def _value(der: bytes, tag: int, at: int) -> tuple[bytes, int]:
    """Read one DER value of at most 255 octets; return it, and where it ends."""
    try:
        is_long = der[at + 1] == _ONE_OCTET_FOLLOWS
        begin = at + (3 if is_long else 2)
        length = der[begin - 1]
    except IndexError:
        raise ValueError("not a DER signature") from None
    end = begin + length
    if der[at] != tag or is_long != (length > _SHORT_FORM) or end > len(der):
        raise ValueError("not a DER signature")
    return der[begin:end], end


def _integer(value: bytes, octets: int) -> bytes:
    number = int.from_bytes(value, signed=True) if value else -1
    if number <= 0 or number.bit_length() > 8 * octets:
        raise ValueError(f"not an integer of {octets} octets")
    return number.to_bytes(octets)


def _json(value: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(value).encode()
