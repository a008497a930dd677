"""A KMS key of the provider's own: whether it can sign what it is to sign, which takes a signature to find out."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from jwcrypto.jwa import JWA
from jwcrypto.jwk import JWK

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import RegistrationInvalidError
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.probe import PROBE

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


class SigningFunction(Protocol):
    """The function that can sign."""

    def call(self, **event: Any) -> Any:
        """Return what it returns."""


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """Looks at keys of providers' own; none of them is changed."""

    kms: KMSClient
    signer: SigningFunction

    def public_key(self, kms_key_arn: str, alg: str) -> bytes:
        """Return the public half, in DER, of a key that `delivery` can sign with.

        Raises:
            RegistrationInvalidError: the key is of another kind, or one of the two roles may not use it.
            FunctionUnavailable: the function that is to sign does not answer.

        """
        try:
            found = self.kms.get_public_key(KeyId=kms_key_arn)
        except AWS_ERRORS as error:
            raise RegistrationInvalidError(
                f"KMS does not show the key's public half to the admin function: {aws_code(error)}; the key's policy and the"
                " parameter ProviderKeyArns must allow kms:GetPublicKey"
            ) from error
        if found["KeyUsage"] != "SIGN_VERIFY" or ALGORITHMS[alg].kms not in found["SigningAlgorithms"]:
            raise RegistrationInvalidError(f"the key's spec is {found['KeySpec']}, which cannot sign {alg}")
        self._check_signature(kms_key_arn, alg, found["PublicKey"])
        return found["PublicKey"]

    def _check_signature(self, kms_key_arn: str, alg: str, public_key: bytes) -> None:
        answer = self.signer.call(probe={"kms_key_arn": kms_key_arn, "alg": alg})
        if "signature" not in answer:
            raise RegistrationInvalidError(
                f"KMS does not let the delivery function sign with the key: {answer['code']}; the key's policy and the parameter"
                " ProviderKeyArns must allow kms:Sign"
            )
        algorithm: Any = JWA.signing_alg(alg)
        try:
            algorithm.verify(_jwk(public_key), PROBE, base64.b64decode(answer["signature"]))
        except InvalidSignature as error:
            raise RegistrationInvalidError("a signature of the key does not verify") from error


def _jwk(public_key: bytes) -> JWK:
    return JWK.from_pyca(load_der_public_key(public_key))  # type: ignore[arg-type] # KMS has no other kinds
