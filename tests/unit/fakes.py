"""Plain stand-ins for what is on the other side of the library's ports, and keys to sign and verify with."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import KeySet

from backchannel.aws.sqs import Outgoing, Queue, SqsRecord
from backchannel.errors import QueueUnavailable
from backchannel.tokens.jwks import jwk_set, thumbprint
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.kms import KmsSigner

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

EVENTS = Path(__file__).resolve().parents[2] / "events"


def sample(name: str) -> Any:
    """Return one of the events of ``events/``."""
    return json.loads((EVENTS / name).read_text())


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


class Steady(Random):
    """Spreads nothing."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class FakeQueue(Queue):
    """Keeps what is sent and what is given back; a broken one takes neither."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.sent: list[Outgoing] = []
        self.given_back: list[tuple[str, int]] = []

    def send(self, messages: Iterable[Outgoing]) -> None:
        if self.broken:
            raise QueueUnavailable("ThrottlingException")
        self.sent.extend(messages)

    def give_back(self, record: SqsRecord, delay: int) -> None:
        if self.broken:
            raise QueueUnavailable("ThrottlingException")
        self.given_back.append((record.receipt_handle, delay))
