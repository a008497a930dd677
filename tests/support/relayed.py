"""A provider that sends logout tokens of its own, in a world whose tasks take turns: no key is real, everything else is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from backchannel.api.logout_tokens import LogoutTokenReceiver
from backchannel.api.webhooks import WebhookReceiver
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.sessions.events import SessionEvent
from backchannel.sessions.intake import Intake, Taken
from backchannel.tokens.jws import encode
from backchannel.webhooks.logout_tokens import EVENT, LOGOUT_TOKEN
from backchannel.webhooks.request import Request
from tests.support.interleaving import World
from tests.support.signing import unverified_part
from tests.support.uncounted import UNCOUNTED

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
            intake=Intake(world.sessions, world.ended),
            sender_keys=_BelievesAll,
            counter=UNCOUNTED,
        )
        answer = LogoutTokenReceiver(webhooks, world.sessions, world.deliveries).answer(
            "interleaved", "relay", Request(body, FORM), world.now()
        )
        assert answer["statusCode"] == 200, answer


@dataclass(frozen=True, slots=True)
class TokenComes:
    """The provider sends a client a token about a session of Ada's: a happening of a world whose intake is RelayIntake."""

    client_id: str
    sid: str
    at: int = 0

    def __call__(self, at: int) -> SessionEvent:
        return cast("SessionEvent", TokenComes(self.client_id, self.sid, at))


class RelayIntake(Intake):
    """Takes tokens beside session events."""

    def __init__(self, world: World) -> None:
        super().__init__(world.sessions, world.ended)
        self._world = world
        self._relay = Relay(world)

    def take(self, provider: Provider, events: Iterable[SessionEvent], now: int, **options: Any) -> Taken:
        taken = list(events)
        tokens = [event for event in map(as_token, taken) if event is not None]
        for each in tokens:
            named = {"sub": "ada", "sid": each.sid}
            self._relay.send(self._relay.token(each.client_id, at=each.at, lives=3600, jti=f"jti-{each.client_id}", named=named))
        return Taken() if tokens else super().take(provider, taken, now, **options)


def as_token(event: object) -> TokenComes | None:
    """Return an event if it is a token."""
    return event if isinstance(event, TokenComes) else None
