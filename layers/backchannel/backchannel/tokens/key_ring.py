"""A provider's key ring: which key signs now, which are published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from backchannel.errors import SigningUnavailable

KeyState = Literal["published", "signing", "retired", "withdrawn", "deleted"]
"""The states of a key in their order:

- ``published``: is to sign next, once every relying party has had the time to read it
- ``signing``: signs; for each algorithm, one key does
- ``retired``: signed until lately, so it stays published for a while
- ``withdrawn``: not published any more; its KMS key is to be deleted
- ``deleted``: KMS will delete it; until then, the deletion can be cancelled there
"""

PUBLISHED: frozenset[KeyState] = frozenset({"published", "signing", "retired"})


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of a ring; the private half never leaves KMS.

    ``kid`` is the RFC 7638 thumbprint of a key that this service made; a key of the provider's own (``is_own``), which this
    service neither rotates nor deletes, has the ``kid`` that the provider gave it. ``since`` is when its state began, in
    milliseconds since the epoch. ``jwk`` is the public half without ``kid``, ``use`` and ``alg``.
    """

    kid: str
    alg: str
    kms_key_arn: str
    state: KeyState = "signing"
    since: int = 0
    jwk: Mapping[str, Any] = field(default_factory=dict, hash=False)
    is_own: bool = False


def signer(ring: Sequence[SigningKey], alg: str) -> SigningKey | None:
    """Return the key that signs with ``alg``, None if the ring has none."""
    for key in ring:
        if key.alg == alg and key.state == "signing":
            return key
    return None


def signing_key(ring: Sequence[SigningKey], alg: str) -> SigningKey:
    """Return the key that signs with ``alg``.

    Raises:
        SigningUnavailable: the ring has none.

    """
    key = signer(ring, alg)
    if key is None:
        raise SigningUnavailable(f"no key of the ring signs {alg}")
    return key
