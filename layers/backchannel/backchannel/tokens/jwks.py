"""JWK Sets (RFC 7517): the public keys of a ring, alone or together with the provider's own."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from backchannel.errors import KidClash, shown
from backchannel.tokens import jws
from backchannel.tokens.key_ring import PUBLISHED, SigningKey

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
"""Members that hold a secret in some kind of key (RFC 7518, section 6; RFC 8037, section 2; ``priv`` in those of kind AKP)."""

_NUMBERS: Mapping[str, tuple[str, ...]] = {"RSA": ("e", "n"), "EC": ("x", "y"), "OKP": ("x",)}
"""The members that make a public key, beside ``kty`` and ``crv``."""

_THUMBPRINT: Mapping[str, tuple[str, ...]] = {
    "RSA": ("e", "kty", "n"),  # RFC 7638, section 3.2
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),  # RFC 8037, section 2
}


def check_jwk_set(document: Mapping[str, Any]) -> None:
    """Check a JWK Set of somebody else.

    Raises:
        ValueError: it is none.

    """
    keys = document.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ValueError("not a JWK Set: keys must be an array of objects")


def jwk_set(ring: Sequence[SigningKey], upstream: Iterable[Mapping[str, Any]] = ()) -> dict[str, list[dict[str, Any]]]:
    """Return the provider's own keys as they are, and those of the ring that are not among them.

    Every key of the ring names its ``alg``, ``use`` and ``kid``. One of ours that the provider publishes for another purpose is
    replaced: relying parties would refuse its signatures. One that this service made and withdrew is left out, also where the
    provider's JWKS still has it.

    Raises:
        KidClash: the provider uses the ``kid`` of one of our keys for another key.

    """
    published = {key.kid: key for key in ring if key.state in PUBLISHED}
    withdrawn = [key.jwk for key in ring if key.state not in PUBLISHED and not key.is_own]
    theirs: list[dict[str, Any]] = []
    for jwk in _public(upstream):
        if any(are_same(each, jwk) for each in withdrawn):
            continue
        kid = jwk.get("kid")
        ours = published.get(kid) if isinstance(kid, str) else None
        if ours is not None and not are_same(ours.jwk, jwk):
            raise KidClash(
                f"the provider publishes another key under the kid {shown(ours.kid)}, which is that of a signing key here"
            )
        if ours is None or ours.is_own or may_sign(jwk, ours.alg):
            theirs.append(jwk)
    their_kids = [jwk.get("kid") for jwk in theirs]
    missing = (key for kid, key in published.items() if kid not in their_kids)
    return {"keys": [*theirs, *({**key.jwk, "use": "sig", "alg": key.alg, "kid": key.kid} for key in missing)]}


def may_sign(jwk: Mapping[str, Any], alg: str) -> bool:
    """Whether a relying party takes a key for one that signs ``alg`` (RFC 7517, sections 4.2 and 4.4)."""
    return bool(jwk.get("use", "sig") == "sig" and jwk.get("alg", alg) == alg)


def are_same(our: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a JWK of ours and another are one key, whatever their ``kid``. Some write numbers with leading zeros."""
    if (our["kty"], our.get("crv")) != (other.get("kty"), other.get("crv")):
        return False
    return all(_number(our[name]) == _number(other.get(name)) for name in _NUMBERS[our["kty"]])


def _public(keys: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what may be published of somebody else's keys. Kinds of keys that we do not know pass through."""
    for key in keys:
        if key.get("kty") == "oct":
            continue
        public = {name: value for name, value in key.items() if name not in PRIVATE_MEMBERS}
        kid = public.get("kid")
        if (not isinstance(kid, str) or not kid.strip()) and (thumbprint := _thumbprint(public)) is not None:
            public["kid"] = thumbprint  # without one, relying parties refuse a set of several keys (Core, section 10.1)
        yield public


def _number(text: object) -> int | None:
    try:
        return int.from_bytes(base64.urlsafe_b64decode(str(text) + "=="))
    except ValueError:
        return None


def _thumbprint(key: Mapping[str, Any]) -> str | None:
    """Return the RFC 7638 thumbprint of a key of a kind that we know."""
    kty = key.get("kty")
    names = _THUMBPRINT.get(kty) if isinstance(kty, str) else None
    if names is None or not all(isinstance(key.get(name), str) for name in names):
        return None
    members = json.dumps({name: key[name] for name in names}, separators=(",", ":"), ensure_ascii=False)
    return jws.encode(hashlib.sha256(members.encode()).digest())
