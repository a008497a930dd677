"""The senders of all formats with their secrets and keys, and what must hold whatever comes in their place."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import ECKey

from backchannel.errors import CallerError
from backchannel.tokens.jws_verification import unverified
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Context, Proven, Request, Trust
from tests.support.mutations import AT, EVENTS, altered, garbled

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
    """A sender of a format: ``sign`` makes a request of an event. ``binds_body``: its proof is worth nothing for another body."""

    format: str
    secrets: tuple[str, ...]
    events: tuple[Json, ...]
    sign: Callable[[Json], Request]
    binds_body: bool = True

    @property
    def trust(self) -> Trust:
        audience = AUDIENCE if "audience" in FORMATS[self.format].required else None
        return Trust(lambda: self.secrets, _verified, ISSUER, audience)


def _verified(token: str) -> tuple[str | None, Mapping[str, Any]]:
    found = unverified(token)
    found.verify(PUBLISHED)
    return found.typ, found.claims


def _octets(event: Json) -> bytes:
    return json.dumps(event).encode()


def _standard_webhooks(event: Json, sign: Callable[[bytes], str]) -> Request:
    sent = str(AT // 1000)
    signature = sign(f"msg-1.{sent}.".encode() + _octets(event))
    return Request(_octets(event), {"webhook-id": "msg-1", "webhook-timestamp": sent, "webhook-signature": signature})


def _hmac(signed: bytes) -> str:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _ed25519(signed: bytes) -> str:
    return "v1a," + base64.b64encode(SIGNING_KEY.sign(signed)).decode()


def _keycloak(event: Json) -> Request:
    return Request(
        _octets(event), {"x-keycloak-signature": hmac.new(STATIC_SECRET.encode(), _octets(event), hashlib.sha256).hexdigest()}
    )


def _keycloak_jwt(event: Json) -> Request:
    times = {"iat": AT // 1000, "exp": AT // 1000 + 300}
    digest = hashlib.sha256(_octets(event)).hexdigest()
    token = _token({"iss": ISSUER, "aud": AUDIENCE, **times, "request_body_sha256": digest}, "JWT")
    return Request(_octets(event), {"authorization": f"Bearer {token}"})


def _token(claims: Json, typ: str) -> str:
    token: str = jwt.encode({"alg": "ES256", "kid": "sender", "typ": typ}, claims, TOKEN_KEY, algorithms=["ES256"])
    return token


def _form(claims: Json) -> Request:
    body = urlencode({"logout_token": _token(claims, "logout+jwt")}).encode()
    return Request(body, {"content-type": "application/x-www-form-urlencoded"})


def _samples(pattern: str) -> Iterator[Json]:
    for path in sorted(EVENTS.glob(pattern)):
        yield json.loads(path.read_text())


GENERIC: tuple[Json, ...] = (
    *({**event, "id": "event-1"} for event in _samples("standardwebhooks-generic-*.json")),
    {
        "id": "event-2",
        "type": "user.sessions_ended",
        "timestamp": "2026-09-01T10:00:00Z",
        "data": {"sub": "ada", "reason": "logout"},
    },
)
TOKENS: tuple[Json, ...] = tuple(
    {**event, "iss": ISSUER, "aud": AUDIENCE, "jti": "event-1", "iat": AT // 1000, "exp": AT // 1000 + 300} for event in GENERIC
)
KEYCLOAK: tuple[Json, ...] = tuple({**event, "time": AT} for event in _samples("keycloak-p2inc-*.json"))
LOGOUT_TOKENS: tuple[Json, ...] = tuple(
    {**claims, "iss": ISSUER, "iat": AT // 1000, "exp": AT // 1000 + 120}
    for sample in _samples("*logout-token*.json")
    for claims in [sample.get("claims", sample)]
)

SENDERS: tuple[Sender, ...] = (
    Sender("standard-webhooks", (SECRET,), GENERIC, lambda event: _standard_webhooks(event, _hmac)),
    Sender("standard-webhooks", (PUBLIC_KEY,), GENERIC, lambda event: _standard_webhooks(event, _ed25519)),
    Sender(
        "bearer",
        (STATIC_SECRET,),
        GENERIC,
        lambda event: Request(_octets(event), {"authorization": f"Bearer {STATIC_SECRET}"}),
        binds_body=False,
    ),
    Sender("signed-jwt", (), TOKENS, lambda claims: Request(_token(claims, "JWT").encode(), {"content-type": "application/jwt"})),
    Sender("keycloak", (STATIC_SECRET,), KEYCLOAK, _keycloak),
    Sender("keycloak-jwt", (), KEYCLOAK, _keycloak_jwt),
    Sender("logout-token", (), LOGOUT_TOKENS, _form),
)


def check_altered(sender: Sender, random: Random) -> bool:
    """Alter a request on its way: it is refused, or means what it meant. True if it is refused."""
    event = random.choice(sender.events)
    request = sender.sign(event)
    sent = FORMATS[sender.format].verify(request, sender.trust, NOW)
    try:
        received = FORMATS[sender.format].verify(altered(request, random), sender.trust, NOW)
    except CallerError:
        return True
    assert received == sent or not sender.binds_body, "an altered request was accepted"
    return False


def check_garbled(sender: Sender, random: Random) -> bool:
    """Let the sender itself send a broken event: it is refused, or what is read from it is well formed. True if it is refused."""
    row = FORMATS[sender.format]
    body = _octets(garbled(random.choice(sender.events), random))
    context = Context(
        ISSUER,
        random.choice(["claim", "sha256", "none"]),
        NOW,
        unmatched_sid=random.choice(["report", "end_subject"]),
        require_iss=random.random() < 0.5,
    )
    try:
        parsed = row.parse(Proven(body, "msg-1" if row.event_id_is_beside else None), context)
    except CallerError:
        return True
    for event in parsed.events:
        for value in (getattr(event, field.name) for field in fields(event)):
            assert not isinstance(value, str) or TEXT_ONLY.fullmatch(value), f"no text: {value!r}"
            assert isinstance(value, str | int | None), f"of another type: {value!r}"
    return False
