"""The senders that products bring with them: ZITADEL, WorkOS, Clerk, Logto, FusionAuth, Hanko, PingOne."""

import base64
import hashlib
import hmac

from backchannel.webhooks.request import Request
from tests.support.mutations import AT
from tests.support.sender import AUDIENCE, SECRET, STATIC_SECRET, Json, Sender, octets, samples, token


def timestamped(header: str, time: int, body: bytes, secret: str, separator: str = ",") -> dict[str, str]:
    """Return the header ``t=…,v1=…``."""
    signature = hmac.digest(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hex()
    return {header: f"t={time}{separator}v1={signature}"}


def digest_in_base64(body: bytes) -> str:
    """Return ``request_body_sha256`` of FusionAuth."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _zitadel(event: Json) -> Request:
    return Request(octets(event), timestamped("zitadel-signature", AT // 1000, octets(event), STATIC_SECRET))


def _workos(event: Json) -> Request:
    return Request(octets(event), timestamped("workos-signature", AT, octets(event), STATIC_SECRET, ", "))


def _clerk(event: Json) -> Request:
    signed = f"msg-1.{AT // 1000}.".encode() + octets(event)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return Request(octets(event), {"svix-id": "msg-1", "svix-timestamp": str(AT // 1000), "svix-signature": signature})


def _logto(event: Json) -> Request:
    signature = hmac.digest(STATIC_SECRET.encode(), octets(event), hashlib.sha256).hex()
    return Request(octets(event), {"logto-signature-sha-256": signature})


def _fusionauth(event: Json) -> Request:
    signed = token({"request_body_sha256": digest_in_base64(octets(event))}, "JWT")
    return Request(octets(event), {"x-fusionauth-signature-jwt": signed})


def _hanko(claims: Json) -> Request:
    return Request(octets({"token": token(claims, "JWT"), "event": claims.get("evt")}), {})


def _pingone(event: Json) -> Request:
    return Request(octets(event), {"authorization": f"Bearer {STATIC_SECRET}"})


HANKO: tuple[Json, ...] = tuple(
    {**sample["jwt_payload"], "aud": [AUDIENCE], "iat": AT // 1000, "exp": AT // 1000 + 300} for sample in samples("hanko-*.json")
)

PRODUCTS: tuple[Sender, ...] = (
    Sender("zitadel", (STATIC_SECRET,), (*samples("zitadel-*.json"),), _zitadel),
    Sender("workos", (STATIC_SECRET,), (*samples("workos-*.json"),), _workos),
    Sender("clerk", (SECRET,), (*samples("clerk-*.json"),), _clerk),
    Sender("logto", (STATIC_SECRET,), (*samples("logto-*.json"),), _logto),
    Sender("fusionauth", (), (*samples("fusionauth-*.json"),), _fusionauth),
    Sender("hanko", (), HANKO, _hanko),
    Sender("pingone", (f"Bearer {STATIC_SECRET}",), (*samples("pingone-*.json"),), _pingone, binds_body=False),
)
