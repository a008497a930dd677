"""Keys of a ring, a KMS that signs with them in this process, and tokens read as a relying party reads them."""

import json
from base64 import urlsafe_b64decode
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import KeySet

from backchannel.tokens.jwks import jwk_set, thumbprint
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.kms import KmsSigner

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


@cache
def private_key(alg: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1()) if alg == "ES256" else rsa.generate_private_key(65537, 2048)


@cache
def public_key(alg: str) -> bytes:
    return private_key(alg).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def ring() -> tuple[SigningKey, ...]:
    return tuple(SigningKey(thumbprint(public_key(alg)), alg, f"arn:aws:kms:key/{alg}") for alg in ALGORITHMS)


@cache
def relying_partys_keys() -> KeySet:
    """Return the published set as another JOSE library reads it."""
    return KeySet.import_key_set(jwk_set((key, public_key(key.alg)) for key in ring()))  # type: ignore[arg-type]


def verified(token: str) -> jwt.Token:
    """Return a token as a relying party accepts it."""
    return jwt.decode(token, relying_partys_keys(), algorithms=list(ALGORITHMS))


def unverified_part(token: str, part: int) -> Any:
    text = token.split(".")[part]
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class FakeKms:
    """Signs digests the way KMS does: PKCS #1, PSS with a salt of 32 octets, or ECDSA in DER."""

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, Any]:  # noqa: N803
        assert MessageType == "DIGEST"
        alg = KeyId.rpartition("/")[2]
        assert SigningAlgorithm == ALGORITHMS[alg].kms
        key = private_key(alg)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return {"Signature": key.sign(Message, ec.ECDSA(Prehashed(SHA256())))}
        pad = padding.PSS(padding.MGF1(SHA256()), 32) if alg == "PS256" else padding.PKCS1v15()
        return {"Signature": key.sign(Message, pad, Prehashed(SHA256()))}


def signer() -> KmsSigner:
    return KmsSigner(cast("KMSClient", FakeKms()))
