"""Signatures made by KMS, which keeps the private keys."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import SigningUnavailable
from backchannel.tokens import jws
from backchannel.tokens.key_ring import SigningKey

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


class KmsSigner:
    """Signs with the keys of a ring."""

    def __init__(self, kms: KMSClient) -> None:
        self._kms = kms

    def sign(self, key: SigningKey, octets: bytes) -> bytes:
        """Return the signature in the form that JWS needs (RFC 7518, section 3).

        Raises:
            SigningUnavailable: KMS did not sign.

        """
        algorithm = jws.ALGORITHMS[key.alg]
        try:
            answer = self._kms.sign(
                KeyId=key.kms_key_arn,
                Message=hashlib.sha256(octets).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=algorithm.kms,  # type: ignore[arg-type]
            )
        except AWS_ERRORS as error:
            raise SigningUnavailable(aws_code(error)) from error
        return jws.raw_signature(answer["Signature"]) if algorithm.der else answer["Signature"]
