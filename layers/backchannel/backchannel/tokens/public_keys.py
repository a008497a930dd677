"""The public halves of KMS keys, and the JWKs (RFC 7517) made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import load_der_public_key
from jwcrypto.jwk import JWK

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


def public_jwk(public_key: bytes) -> dict[str, Any]:
    """Return the members that make the key, without ``kid``."""
    members: dict[str, Any] = _jwk(public_key).export_public(as_dict=True)
    return {name: value for name, value in members.items() if name != "kid"}


def thumbprint(public_key: bytes) -> str:
    """Return the RFC 7638 thumbprint of a key."""
    return _jwk(public_key).thumbprint()


def _jwk(public_key: bytes) -> JWK:
    return JWK.from_pyca(load_der_public_key(public_key))  # type: ignore[arg-type] # KMS has no other kinds
