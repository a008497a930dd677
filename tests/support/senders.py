"""The senders of all formats, and what must hold whatever comes in their place."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import fields
from random import Random
from urllib.parse import urlencode

from backchannel.errors import CallerError
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Context, Proven, Request
from tests.support.mutations import AT, altered, garbled
from tests.support.sender import (
    AUDIENCE,
    ISSUER,
    NOW,
    PUBLIC_KEY,
    SECRET,
    SIGNING_KEY,
    STATIC_SECRET,
    TEXT_ONLY,
    Json,
    Sender,
    octets,
    samples,
    token,
)
from tests.support.senders_auth0 import AUTH0
from tests.support.senders_aws import AWS_SENDERS
from tests.support.senders_okta import OKTA
from tests.support.senders_products import PRODUCTS
from tests.support.senders_set import SENDERS_SET


def _standard_webhooks(event: Json, sign: Callable[[bytes], str]) -> Request:
    sent = str(AT // 1000)
    signature = sign(f"msg-1.{sent}.".encode() + octets(event))
    return Request(octets(event), {"webhook-id": "msg-1", "webhook-timestamp": sent, "webhook-signature": signature})


def _hmac(signed: bytes) -> str:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _ed25519(signed: bytes) -> str:
    return "v1a," + base64.b64encode(SIGNING_KEY.sign(signed)).decode()


def _keycloak(event: Json) -> Request:
    return Request(
        octets(event), {"x-keycloak-signature": hmac.new(STATIC_SECRET.encode(), octets(event), hashlib.sha256).hexdigest()}
    )


def _keycloak_jwt(event: Json) -> Request:
    times = {"iat": AT // 1000, "exp": AT // 1000 + 300}
    digest = hashlib.sha256(octets(event)).hexdigest()
    signed = token({"iss": ISSUER, "aud": AUDIENCE, **times, "request_body_sha256": digest}, "JWT")
    return Request(octets(event), {"authorization": f"Bearer {signed}"})


def _form(claims: Json) -> Request:
    body = urlencode({"logout_token": token(claims, "logout+jwt")}).encode()
    return Request(body, {"content-type": "application/x-www-form-urlencoded"})


GENERIC: tuple[Json, ...] = (
    *({**event, "id": "event-1"} for event in samples("standardwebhooks-generic-*.json")),
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
KEYCLOAK: tuple[Json, ...] = tuple({**event, "time": AT} for event in samples("keycloak-p2inc-*.json"))
LOGOUT_TOKENS: tuple[Json, ...] = tuple(
    {**claims, "iss": ISSUER, "iat": AT // 1000, "exp": AT // 1000 + 120}
    for sample in samples("*logout-token*.json")
    for claims in [sample.get("claims", sample)]
)

SENDERS: tuple[Sender, ...] = (
    Sender("standard-webhooks", (SECRET,), GENERIC, lambda event: _standard_webhooks(event, _hmac)),
    Sender("standard-webhooks", (PUBLIC_KEY,), GENERIC, lambda event: _standard_webhooks(event, _ed25519)),
    Sender(
        "bearer",
        (STATIC_SECRET,),
        GENERIC,
        lambda event: Request(octets(event), {"authorization": f"Bearer {STATIC_SECRET}"}),
        binds_body=False,
    ),
    Sender("signed-jwt", (), TOKENS, lambda claims: Request(token(claims, "JWT").encode(), {"content-type": "application/jwt"})),
    Sender("keycloak", (STATIC_SECRET,), KEYCLOAK, _keycloak),
    Sender("keycloak-jwt", (), KEYCLOAK, _keycloak_jwt),
    Sender("logout-token", (), LOGOUT_TOKENS, _form),
    *OKTA,
    *AUTH0,
    *PRODUCTS,
    *SENDERS_SET,
    *AWS_SENDERS,
)


def check_altered(sender: Sender, random: Random) -> bool:
    """Alter a request on its way: it is refused, or means what it meant. True if it is refused."""
    row = FORMATS[sender.format]
    request = sender.sign(random.choice(sender.events))
    sent = None if row.by_iam else row.verify(request, sender.trust, NOW)
    try:
        received = row.verify(altered(request, random), sender.trust, NOW)
    except CallerError:
        return True
    assert received == sent or not sender.binds_body, "an altered request was accepted"
    return False


def check_garbled(sender: Sender, random: Random) -> bool:
    """Let the sender itself send a broken event: it is refused, or what is read from it is well formed. True if it is refused."""
    row = FORMATS[sender.format]
    body = octets(garbled(random.choice(sender.events), random))
    context = Context(
        sender.issuer,
        random.choice(["claim", "sha256", "none"]),
        NOW,
        unmatched_sid=random.choice(["report", "end_subject"]),
        require_iss=random.random() < 0.5,
        email_is_sub=random.random() < 0.5,
        ends_at=random.choice(["client", "user"]),
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
