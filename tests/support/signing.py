"""Keys of a ring, a KMS that signs with them in this process, and tokens read as a relying party reads them."""

import json
import warnings
from base64 import urlsafe_b64decode
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet

from backchannel.tokens.jwks import jwk_set
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.kms import KmsSigner
from backchannel.tokens.public_keys import public_jwk, thumbprint

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


type PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES = {"ECC_NIST_P256": ec.SECP256R1(), "ECC_NIST_P384": ec.SECP384R1(), "ECC_NIST_P521": ec.SECP521R1()}
_HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


@cache
def private_key(alg: str) -> PrivateKey:
    spec = ALGORITHMS[alg].key_spec
    if spec in _CURVES:
        return ec.generate_private_key(_CURVES[spec])
    return rsa.generate_private_key(65537, 2048) if spec == "RSA_2048" else ed25519.Ed25519PrivateKey.generate()


@cache
def public_key(alg: str) -> bytes:
    return private_key(alg).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def ring() -> tuple[SigningKey, ...]:
    return tuple(
        SigningKey(thumbprint(public_key(alg)), alg, f"arn:aws:kms:key/{alg}", jwk=public_jwk(public_key(alg)))
        for alg in ALGORITHMS
    )


@cache
def relying_partys_keys() -> KeySet:
    """Return the published set as another JOSE library reads it."""
    return KeySet.import_key_set(jwk_set(ring()))  # type: ignore[arg-type]


def verified(token: str) -> jwt.Token:
    """Return a token as a relying party accepts it. joserfc knows that RFC 9864 would call EdDSA by its curve."""
    with warnings.catch_warnings(category=SecurityWarning, action="ignore"):
        return jwt.decode(token, relying_partys_keys(), algorithms=list(ALGORITHMS))


def unverified_part(token: str, part: int) -> Any:
    text = token.split(".")[part]
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class FakeKms:
    """Signs the way KMS does: PKCS #1, PSS with a salt as long as the digest, ECDSA in DER, or Ed25519 of the whole message."""

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, Any]:  # noqa: N803
        alg = KeyId.rpartition("/")[2]
        algorithm = ALGORITHMS[alg]
        assert SigningAlgorithm == algorithm.kms
        key = private_key(alg)
        if isinstance(key, ed25519.Ed25519PrivateKey):
            assert MessageType == "RAW"
            return {"Signature": key.sign(Message)}
        assert MessageType == "DIGEST"
        digest = _HASHES[SigningAlgorithm[-7:].replace("_", "").lower()]
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return {"Signature": key.sign(Message, ec.ECDSA(Prehashed(digest)))}
        is_pss = "PSS" in SigningAlgorithm
        pad = padding.PSS(padding.MGF1(digest), digest.digest_size) if is_pss else padding.PKCS1v15()
        return {"Signature": key.sign(Message, pad, Prehashed(digest))}


def signer() -> KmsSigner:
    return KmsSigner(cast("KMSClient", FakeKms()))
