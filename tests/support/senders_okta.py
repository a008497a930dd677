"""Okta as a sender: its Event Hooks, and its Universal Logout."""

from backchannel.webhooks.request import Request
from tests.support.mutations import AT
from tests.support.sender import AUDIENCE, ISSUER, STATIC_SECRET, Json, Sender, octets, samples, token

EVENTS: tuple[Json, ...] = tuple(
    event
    for pattern in ("user", "policy")
    for hook in samples(f"okta-eventhook-{pattern}*.json")
    for event in hook["data"]["events"]
)

REQUESTS: tuple[Json, ...] = tuple(
    {**sample["jwt_payload"], "iss": ISSUER, "aud": AUDIENCE, **sample["body"]}
    for sample in samples("okta-universal-logout*.json")
)


def _hook(event: Json) -> Request:
    return Request(octets({"data": {"events": [event]}}), {"authorization": STATIC_SECRET})


def _universal_logout(document: Json) -> Request:
    claims = {name: value for name, value in document.items() if name != "sub_id"}
    times = {"iat": AT // 1000, "nbf": AT // 1000 - 300, "exp": AT // 1000 + 300}
    signed = token({**claims, **times}, "global-token-revocation+jwt")
    return Request(octets({"sub_id": document["sub_id"]}), {"authorization": f"Bearer {signed}"})


OKTA: tuple[Sender, ...] = (
    Sender("okta", (STATIC_SECRET,), EVENTS, _hook, binds_body=False),
    Sender("okta-universal-logout", (), REQUESTS, _universal_logout, binds_body=False),
)
