"""Ed25519 signatures of Standard Webhooks (``v1a``). While one key replaces another, both are valid."""

import base64
import binascii
import re
from collections.abc import Sequence

from backchannel.errors import RegistrationInvalidError

PREFIX = "whpk_"

MOST_SIGNATURES = 8
"""Signatures of a header that are looked at; each takes its time."""

_V1A = re.compile(r"(?<![^ \t,])v1a,([A-Za-z0-9+/]{86}==)(?![^ \t,])")
_KEY_OCTETS = 32


def public_key(text: str) -> bytes:
    """Return the octets of a ``whpk_`` key.

    Raises:
        RegistrationInvalidError: it is not base64 of 32 octets.

    """
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RegistrationInvalidError("the public key is not base64 behind whpk_") from error
    if len(key) != _KEY_OCTETS:
        raise RegistrationInvalidError("the public key must have 32 octets")
    return key


def refuse_public_key(secret: str) -> None:
    """Refuse a public key where a secret is needed: everybody may know it.

    Raises:
        RegistrationInvalidError: it is one.

    """
    if secret.startswith(PREFIX):
        raise RegistrationInvalidError("whpk_ is a public key, which proves nothing in this format")


def is_signed(signatures: str, signed: bytes, keys: Sequence[str]) -> bool:
    """Whether one of a header's ``v1a`` signatures is that of one of the keys."""
    if not keys:
        return False
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - most senders use a secret
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    for key in map(Ed25519PublicKey.from_public_bytes, map(public_key, keys)):
        for signature in _V1A.findall(signatures)[:MOST_SIGNATURES]:
            try:
                key.verify(base64.b64decode(signature), signed)
            except InvalidSignature:
                continue
            return True
    return False
