"""Which key of a relying party's JWK Set (RFC 7517) its tokens are encrypted to."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from backchannel.errors import EncryptionKeyUnavailable, shown
from backchannel.tokens.jwks import PRIVATE_MEMBERS

type Jwk = Mapping[str, Any]

KEY_TYPES: Mapping[str, frozenset[str]] = {
    "RSA-OAEP": frozenset({"RSA"}),  # RFC 7518, section 4.3
    "RSA-OAEP-256": frozenset({"RSA"}),
    "ECDH-ES": frozenset({"EC", "OKP"}),  # RFC 7518, section 4.6; RFC 8037, section 3.2
    "ECDH-ES+A128KW": frozenset({"EC", "OKP"}),
    "ECDH-ES+A192KW": frozenset({"EC", "OKP"}),
    "ECDH-ES+A256KW": frozenset({"EC", "OKP"}),
}
"""The algorithms that a token can be encrypted with, and the types of key that they take."""

CURVES: Mapping[str, frozenset[str]] = {"EC": frozenset({"P-256", "P-384", "P-521"}), "OKP": frozenset({"X25519"})}

MIN_RSA_BITS = 2048
"""RFC 7518, section 4.3."""

_RSA_OPERATIONS = frozenset({"encrypt", "wrapKey"})
_ECDH_OPERATIONS = frozenset({"deriveKey", "deriveBits"})

_NAMED = 5
"""Keys that an error names."""


def choose(keys: Iterable[object], alg: str) -> Jwk:
    """Return the one key that fits an algorithm. Of several, the one wins that says most: by ``use``, and by ``alg``.

    Raises:
        EncryptionKeyUnavailable: none fits, or several do and say as much as one another. The message names them.

    """
    found = list(keys)
    fitting = [key for key in found if isinstance(key, Mapping) and _misfit(key, alg) is None]
    if not fitting:
        raise EncryptionKeyUnavailable(f"no key fits {alg}: {_listed(f'{_name(key)} {_misfit(key, alg)}' for key in found)}")
    most = max(map(_says, fitting))
    best = [key for key in fitting if _says(key) == most]
    if len(best) > 1:
        raise EncryptionKeyUnavailable(f"{len(best)} keys fit {alg}: {_listed(map(_name, best))}")
    return best[0]


def _misfit(key: object, alg: str) -> str | None:  # noqa: PLR0911 - one for each rule
    """Say why a key does not fit, None if it does."""
    if not isinstance(key, Mapping):
        return "is no object"
    kty = key.get("kty")
    if not isinstance(kty, str) or kty not in KEY_TYPES[alg]:
        return "is of another type"
    if kty in CURVES and str(key.get("crv")) not in CURVES[kty]:
        return "is on another curve"
    if key.get("use", "enc") != "enc":  # RFC 7517, section 4.2
        return "is not for encryption"
    if key.get("alg", alg) != alg:  # section 4.4
        return "is for another alg"
    if not _permits(key.get("key_ops"), kty):
        return "does not permit it in key_ops"
    if not PRIVATE_MEMBERS.isdisjoint(key):
        return "has its private half beside it"
    if kty == "RSA" and _bits(key.get("n")) < MIN_RSA_BITS:
        return f"has less than {MIN_RSA_BITS} bits"
    return None


def _permits(key_ops: object, kty: str) -> bool:
    """Whether a public key's operations (RFC 7517, section 4.3) let a key be wrapped or agreed on.

    WebCrypto exports the public half of an agreement with no operation at all.
    """
    if key_ops is None:
        return True
    if not isinstance(key_ops, list):
        return False
    if kty == "RSA":
        return any(each in key_ops for each in _RSA_OPERATIONS)
    return not key_ops or any(each in key_ops for each in _ECDH_OPERATIONS)


def _bits(n: object) -> int:
    try:
        return int.from_bytes(base64.urlsafe_b64decode(f"{n}==")).bit_length() if isinstance(n, str) else 0
    except ValueError:
        return 0


def _says(key: Jwk) -> int:
    return ("use" in key) + ("alg" in key)


def _name(key: object) -> str:
    kid = key.get("kid") if isinstance(key, Mapping) else None
    return shown(kid) if isinstance(kid, str) else "one without kid"


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    more = [f"and {len(found) - _NAMED} more"] if len(found) > _NAMED else []
    return ", ".join([*found[:_NAMED], *more]) or "the set is empty"
