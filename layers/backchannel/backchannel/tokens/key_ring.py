"""A provider's key ring: which key signs now, which are published."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backchannel.errors import SigningUnavailable


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of a ring; the private half never leaves KMS.

    ``kid`` is the key's RFC 7638 thumbprint. Every key of the ring is published; for each algorithm, one signs.
    """

    kid: str
    alg: str
    kms_key_arn: str
    state: Literal["signing", "published"] = "signing"


def signing_key(ring: Sequence[SigningKey], alg: str) -> SigningKey:
    """Return the key that signs with ``alg``.

    Raises:
        SigningUnavailable: the ring has none.

    """
    for key in ring:
        if key.alg == alg and key.state == "signing":
            return key
    raise SigningUnavailable(f"no key of the ring signs {alg}")
