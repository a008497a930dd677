"""A provider that sends logout tokens of its own, in a world whose tasks take turns: no key is real, everything else is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from backchannel.api.logout_tokens import LogoutTokenReceiver
from backchannel.api.webhooks import WebhookReceiver
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.tokens.jws import encode
from backchannel.webhooks.logout_tokens import EVENT, LOGOUT_TOKEN
from backchannel.webhooks.request import Request
from tests.support.interleaving import World
from tests.support.signing import unverified_part

FORM = {"content-type": "application/x-www-form-urlencoded"}
RELAY = Source("relay", LOGOUT_TOKEN, "", pass_on=True, tolerate_missing_exp=True)


class _BelievesAll:
    def verified(self, provider: Provider, source: Source, token: str) -> tuple[str | None, Mapping[str, Any]]:  # noqa: ARG002
        return "logout+jwt", unverified_part(token, 1)


@dataclass(frozen=True, slots=True)
class Relay:
    """Sends the world tokens, and knows which it has sent."""

    world: World

    def token(self, *client_ids: str, at: int, lives: int = 120, named: Mapping[str, str], jti: str = "jti-1") -> str:
        """Return a token that ends a session at a time in milliseconds."""
        iat = at // 1000
        times = {"iat": iat, "exp": iat + lives}
        claims = {"iss": self.world.issuer, "aud": list(client_ids), "jti": jti, "events": {EVENT: {}}, **times, **named}
        return ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "ES256"}, claims)) + ".c2lnbmF0dXJl"

    @staticmethod
    def claims(token: str) -> dict[str, Any]:
        """Return what a token says."""
        claims: dict[str, Any] = unverified_part(token, 1)
        return claims

    def send(self, token: str) -> None:
        """Have a token received, as `webhook` does."""
        world, body = self.world, urlencode({"logout_token": token}).encode()
        clients = {client.client_id: client for client in world.clients}
        webhooks = WebhookReceiver(
            provider=lambda _: world.provider,
            source=lambda *_: RELAY,
            client=lambda _, client_id: clients[client_id],
            secrets=cast("Any", None),
            intake=world.intake,
            sender_keys=_BelievesAll,
        )
        answer = LogoutTokenReceiver(webhooks, world.sessions, world.deliveries).answer(
            "interleaved", "relay", Request(body, FORM), world.now()
        )
        assert answer["statusCode"] == 200, answer
