"""What a sender of a format is, with secrets and keys, and how senders sign."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import ECKey

from backchannel.tokens.jws_verification import unverified
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Request, Trust
from tests.support.mutations import AT, EVENTS

ISSUER = "https://idp.example.test/"
AUDIENCE = "backchannel"
NOW = AT + 5_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STATIC_SECRET = "a-static-secret-of-32-characters"
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC_KEY = "whpk_" + base64.b64encode(SIGNING_KEY.public_key().public_bytes_raw()).decode()
TOKEN_KEY = ECKey.generate_key("P-256", {"kid": "sender"})
PUBLISHED = [TOKEN_KEY.as_dict(private=False)]
TEXT_ONLY = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender of a format: ``sign`` makes a request of an event. ``binds_body``: its proof is worth nothing for another body.

    ``issuer`` is the provider's.
    """

    format: str
    secrets: tuple[str, ...]
    events: tuple[Json, ...]
    sign: Callable[[Json], Request]
    binds_body: bool = True
    issuer: str = ISSUER

    @property
    def trust(self) -> Trust:
        audience = AUDIENCE if "audience" in FORMATS[self.format].required else None
        return Trust(lambda: self.secrets, _verified, ISSUER, audience)


def _verified(token: str) -> tuple[str | None, Mapping[str, Any]]:
    found = unverified(token)
    found.verify(PUBLISHED)
    return found.typ, found.claims


def octets(event: Json) -> bytes:
    return json.dumps(event).encode()


def token(claims: Json, typ: str) -> str:
    signed: str = jwt.encode({"alg": "ES256", "kid": "sender", "typ": typ}, claims, TOKEN_KEY, algorithms=["ES256"])
    return signed


def samples(pattern: str) -> Iterator[Json]:
    for path in sorted(EVENTS.glob(pattern)):
        yield json.loads(path.read_text())
