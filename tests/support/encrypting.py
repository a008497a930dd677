"""Keys that relying parties encrypt to, and tokens decrypted as they do it: with a JOSE library that is not ours."""

import warnings
from functools import cache
from typing import Any

from joserfc import jwe
from joserfc.errors import SecurityWarning
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from backchannel.tokens.encryption_keys import KEY_TYPES
from backchannel.tokens.jwe import ENCS
from tests.support.unspeakable import note

type Jwk = dict[str, Any]

KINDS = ("RSA", "P-256", "P-384", "P-521", "X25519")
ALGS = tuple(KEY_TYPES)

_READER = JWERegistry(algorithms=[*ALGS, *ENCS], strict_check_header=False)
"""joserfc refuses members of a header that it does not know, ``iss`` among them (RFC 7519, section 5.3), unless told not to."""


def private_key(kind: str, number: int = 0) -> Key:
    """Return a key of a relying party: for each number another one, and always the same."""
    return _private_key(kind, number)


@cache
def _private_key(kind: str, _: int) -> Key:
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    return OKPKey.generate_key("X25519") if kind == "X25519" else ECKey.generate_key(kind)


def public_jwk(kind: str, number: int = 0, **members: Any) -> Jwk:
    """Return the public half with more members, without ``kid`` unless one is given."""
    jwk = private_key(kind, number).as_dict(private=False)
    return {name: value for name, value in jwk.items() if name != "kid"} | members


def private_jwk(kind: str, number: int = 0) -> Jwk:
    return dict(private_key(kind, number).as_dict(private=True))


def kinds_of(alg: str) -> tuple[str, ...]:
    """Return the kinds of key that an algorithm takes."""
    return KINDS[:1] if alg.startswith("RSA") else KINDS[1:]


def decrypted(token: str, key: Key) -> tuple[dict[str, Any], str]:
    """Return the header and the content of a token that is encrypted to this key.

    Raises:
        JoseError: it is not.

    """
    with warnings.catch_warnings(category=SecurityWarning, action="ignore"):
        found = jwe.decrypt_compact(token, key, registry=_READER)
    assert found.plaintext is not None
    return dict(found.headers()), note(found.plaintext.decode())
