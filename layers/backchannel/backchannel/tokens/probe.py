"""A signature that shows that a key can be used. What is signed is fixed, and no token: it has none of a token's dots."""

import base64
from typing import Protocol

from backchannel.errors import SigningUnavailable
from backchannel.tokens.key_ring import SigningKey

PROBE = b"Backchannel asks whether this key signs"


class ProbeSigner(Protocol):
    """What makes signatures."""

    def sign(self, key: SigningKey, octets: bytes) -> bytes:
        """Return the signature of ``octets`` in the form that JWS wants."""


def probe(signer: ProbeSigner, *, kms_key_arn: str, alg: str) -> dict[str, str]:
    """Return the ``signature`` of PROBE in Base64, or the ``code`` that KMS refused it with."""
    try:
        signature = signer.sign(SigningKey("", alg, kms_key_arn), PROBE)
    except SigningUnavailable as error:
        return {"code": str(error)}
    return {"signature": base64.b64encode(signature).decode()}
