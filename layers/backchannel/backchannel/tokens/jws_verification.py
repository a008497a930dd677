"""The verification of somebody else's JWS (RFC 7515) by the keys of a JWK Set. jwcrypto does it; only a signature imports it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backchannel.errors import SignatureInvalidError
from backchannel.strict_json import parse
from backchannel.tokens.jws import ALGORITHMS

MAX_CHARACTERS = 16_384
"""Of a token."""

MIN_RSA_BITS = 2048
"""RFC 7518, sections 3.3 and 3.5."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ENCRYPTED = 4
"""The dots of a compact JWE (RFC 7516, section 3.1)."""

_MATERIAL: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""What makes a public key; nothing else of a JWK reaches jwcrypto."""

_TYPES: Mapping[str, tuple[str, str | None]] = {
    "ES256": ("EC", "P-256"),  # RFC 7518, section 3.4
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),  # RFC 8037, section 3.1
}
"""The type and the curve of an algorithm's keys; all others take RSA."""


@dataclass(frozen=True, slots=True)
class UnverifiedJws:
    """What a token claims of itself: nothing of it is true before ``verify`` returns."""

    alg: str
    kid: str | None
    typ: str | None
    claims: Mapping[str, Any] = field(repr=False)
    token: str = field(repr=False)

    def names_unknown_key(self, keys: Iterable[Mapping[str, Any]]) -> bool:
        """Whether it names a key that is not in a set; a newer copy of the set may have it."""
        return self.kid is not None and all(key.get("kid") != self.kid for key in keys)

    def verify(self, keys: Iterable[Mapping[str, Any]]) -> None:
        """Verify the signature: by the key that it names, or else by the only one that fits.

        Raises:
            SignatureInvalidError: no such key, or it did not make this signature.

        """
        fitting = [key for key in keys if _fits(key, self.alg) and (self.kid is None or key.get("kid") == self.kid)]
        if not fitting:
            raise SignatureInvalidError("no key of the set fits the token's alg and kid")
        if self.kid is None and len(fitting) > 1:
            raise SignatureInvalidError("the token names no key, and several fit")  # Core, section 10.1
        if not any(_is_signed_by(key, self) for key in fitting):
            raise SignatureInvalidError("the signature is not that of the key")


def unverified(token: str, algs: Iterable[str] = ALGORITHMS) -> UnverifiedJws:
    """Read a compact JWS with JSON claims, without a look at its signature.

    Raises:
        SignatureInvalidError: it is none, or its algorithm is not one of ``algs``, all of which are asymmetric.

    """
    match = _COMPACT.fullmatch(token) if len(token) <= MAX_CHARACTERS else None
    if match is None:
        is_encrypted = token.count(".") == _ENCRYPTED
        raise SignatureInvalidError("the token is encrypted" if is_encrypted else "the token is no compact JWS")
    header, claims = _object(match[1]), _object(match[2])
    alg, kid, typ = (header.get(name) for name in ("alg", "kid", "typ"))
    if not isinstance(alg, str) or alg not in set(algs):
        raise SignatureInvalidError("the token's alg is not one of the asymmetric ones that are accepted")
    if not isinstance(kid, str | None) or not isinstance(typ, str | None):
        raise SignatureInvalidError("the token's kid or typ is no text")
    if "crit" in header or "b64" in header:
        raise SignatureInvalidError("the token's header has extensions that are not understood")  # RFC 7515, section 4.1.11
    return UnverifiedJws(alg, kid, typ, claims, token)


def _object(part: str) -> dict[str, Any]:
    try:
        return parse(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True).decode())
    except ValueError as error:
        raise SignatureInvalidError("a part of the token is no JSON object in base64url") from error


def _fits(key: Mapping[str, Any], alg: str) -> bool:
    kty, crv = _TYPES.get(alg, ("RSA", None))
    key_ops: object = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == kty
        and (crv is None or key.get("crv") == crv)
        and key.get("alg", alg) == alg
        and key.get("use", "sig") == "sig"
        and isinstance(key_ops, Sequence)
        and "verify" in key_ops
        and all(isinstance(key.get(name), str) for name in _MATERIAL[kty])
    )


def _is_signed_by(key: Mapping[str, Any], jws: UnverifiedJws) -> bool:
    from jwcrypto.common import JWException  # noqa: PLC0415 - takes a tenth of a second; most webhooks are no JWTs
    from jwcrypto.jwk import JWK  # noqa: PLC0415
    from jwcrypto.jws import JWS  # noqa: PLC0415

    material = {"kty": key["kty"], **{name: key[name] for name in _MATERIAL[key["kty"]]}}
    try:
        public = JWK.from_json(json.dumps(material))
        if key["kty"] == "RSA" and public.get_op_key("verify").key_size < MIN_RSA_BITS:  # type: ignore[union-attr] # RSA has it
            return False
        signed = JWS()
        signed.allowed_algs = [jws.alg]
        signed.deserialize(jws.token)
        signed.verify(public, jws.alg)
    except (JWException, ValueError, TypeError, ArithmeticError):
        return False
    return True
