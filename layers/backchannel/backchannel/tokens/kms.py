"""Signatures made by KMS, which keeps the private keys."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import SigningUnavailable
from backchannel.tokens import jws
from backchannel.tokens.key_ring import SigningKey

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

PATIENCE = 6000
"""How long a throttled signature is waited for, in milliseconds: a burst is over sooner than a message comes back."""

_THROTTLED = "ThrottlingException"
"""The account has used up its rate of signatures. Nothing else is better a second later."""

_PAUSE, _PAUSE_MAX = 250, 2000
"""The first pause and the longest, in milliseconds; each is twice the one before, less up to a half at random."""


@dataclass(frozen=True, slots=True)
class KmsSigner:
    """Signs with the keys of a ring; ``clock`` and ``sleep`` count seconds."""

    kms: KMSClient
    rng: Random = field(default_factory=Random)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def sign(self, key: SigningKey, octets: bytes, *, within: int = PATIENCE) -> bytes:
        """Return the signature in the form that JWS needs (RFC 7518, section 3).

        While KMS throttles, no call begins later than PATIENCE or ``within``.

        Raises:
            SigningUnavailable: KMS did not sign.

        """
        until = self.clock() + min(within, PATIENCE) / 1000
        pause = _PAUSE
        while True:
            try:
                return self._sign_once(key, octets)
            except AWS_ERRORS as error:
                seconds = pause * self.rng.uniform(0.5, 1) / 1000
                if aws_code(error) != _THROTTLED or self.clock() + seconds > until:
                    raise SigningUnavailable(aws_code(error)) from error
            self.sleep(seconds)
            pause = min(2 * pause, _PAUSE_MAX)

    def _sign_once(self, key: SigningKey, octets: bytes) -> bytes:
        algorithm = jws.ALGORITHMS[key.alg]
        answer = self.kms.sign(
            KeyId=key.kms_key_arn,
            Message=octets if algorithm.digest is None else hashlib.new(algorithm.digest, octets).digest(),
            MessageType="RAW" if algorithm.digest is None else "DIGEST",
            SigningAlgorithm=algorithm.kms,  # type: ignore[arg-type]
        )
        signature = answer["Signature"]
        return signature if algorithm.integer is None else jws.raw_signature(signature, algorithm.integer)
