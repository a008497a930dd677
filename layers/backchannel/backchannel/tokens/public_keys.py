"""The public halves of KMS keys. They never change, so each is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import SigningUnavailable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


class PublicKeys:
    """Public keys by ARN, as DER SubjectPublicKeyInfo."""

    def __init__(self, kms: KMSClient) -> None:
        self._kms = kms
        self._known: dict[str, bytes] = {}

    def get(self, kms_key_arn: str) -> bytes:
        """Return a public key.

        Raises:
            SigningUnavailable: KMS did not return it.

        """
        if kms_key_arn not in self._known:
            try:
                self._known[kms_key_arn] = self._kms.get_public_key(KeyId=kms_key_arn)["PublicKey"]
            except AWS_ERRORS as error:
                raise SigningUnavailable(aws_code(error)) from error
        return self._known[kms_key_arn]
