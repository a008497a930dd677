"""Nested JWTs (RFC 7519, section 5.2): a signed token, encrypted to a relying party as a compact JWE (RFC 7516).

jwcrypto does it. The first encryption imports it, so that whoever encrypts nothing does not wait for that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backchannel.errors import EncryptionKeyUnavailable, shown

if TYPE_CHECKING:
    from jwcrypto.jwk import JWK

    from backchannel.tokens.encryption_keys import Jwk

ENCS = ("A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM")
"""The content encryptions of RFC 7518, section 5.1."""

_MATERIAL: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""What makes a public key; nothing else of a JWK reaches jwcrypto."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A relying party's key, how tokens are encrypted to it, and its ``kid``, if it has one."""

    alg: str
    enc: str
    kid: str | None
    key: JWK


def recipient(alg: str, enc: str, key: Jwk) -> Recipient:
    """Return whom to encrypt to. A trial shows that the key works: a token must not be signed first, and then not be sent.

    Raises:
        EncryptionKeyUnavailable: nothing can be encrypted to this key, such as a point that is not on its curve.

    """
    from jwcrypto.common import JWException  # noqa: PLC0415 - see above
    from jwcrypto.jwk import JWK  # noqa: PLC0415

    kid, kty = key.get("kid"), key["kty"]
    try:
        material = {name: key[name] for name in _MATERIAL[kty]}
        found = Recipient(alg, enc, kid if isinstance(kid, str) else None, JWK(kty=kty, **material))
        encrypt(found, "", "")
    except (JWException, KeyError, TypeError, ValueError) as error:
        raise EncryptionKeyUnavailable(f"nothing can be encrypted to the key {shown(str(kid))}") from error
    return found


def encrypt(to: Recipient, issuer: str, token: str) -> str:
    """Return a signed token, encrypted. There is no ``typ``: explicit typing is for the token inside (RFC 8725, section 3.11)."""
    from jwcrypto.jwe import JWE  # noqa: PLC0415 - see above

    header = {"alg": to.alg, "enc": to.enc, "cty": "JWT", "iss": issuer}  # RFC 7519, sections 5.2 and 5.3
    if to.kid is not None:
        header["kid"] = to.kid
    encrypted = JWE(token.encode("ascii"), protected=json.dumps(header), algs=[to.alg, to.enc])
    encrypted.add_recipient(to.key)
    return str(encrypted.serialize(compact=True))
