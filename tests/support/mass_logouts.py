"""A provider with a crowd of RP sessions, and mass logouts of it through the deployed service."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import Any

from backchannel.sessions.events import RpSessionStarted
from backchannel.sessions.table import STARTS_AT_ONCE, Sessions
from local.client import Stack
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Json, Provider

PATH = "/mass-logouts"


def store(stack: Stack, issuer: str, starts: Sequence[RpSessionStarted]) -> None:
    """Store RP sessions, as webhooks would."""
    sessions = Sessions(Aws(stack).client("dynamodb"), stack.tables["SessionsTable"])
    now = round(time.time() * 1000)
    with ThreadPoolExecutor(4) as pool:
        for late in pool.map(lambda some: sessions.start_many(issuer, some, now), batched(starts, STARTS_AT_ONCE, strict=False)):
            assert not late


class MassLogoutRun:
    """A mass logout that somebody has asked for."""

    def __init__(self, provider: Provider, **request: Any) -> None:
        self.stack = provider.stack
        scope = {"provider": provider.name, **request.pop("scope", {})}
        self.status, self.answer = self.stack.admin("POST", PATH, {"scope": scope, "reason": "compromised", **request})
        assert self.status in {200, 202}, self.answer
        self.id: str = self.answer["mass_logout_id"]

    def look(self) -> Json:
        """Return how far it has come."""
        return self._ask("GET", "")

    def pause(self) -> Json:
        return self._ask("POST", "/pause")

    def resume(self) -> Json:
        return self._ask("POST", "/resume")

    def cancel(self) -> Json:
        return self._ask("POST", "/cancel")

    def set_rate(self, **rates: int) -> Json:
        return self._ask("PATCH", "", rates)

    def wait_for(self, holds: Callable[[Json], object], *, seconds: float = 20, every: float = 0.5) -> Json:
        return until(self.look, holds=holds, seconds=seconds, every=every)

    def wait_until_finished(self, *, seconds: float = 60) -> Json:
        return self.wait_for(lambda seen: seen["finished_at"], seconds=seconds)

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        status, answer = self.stack.admin(method, f"{PATH}/{self.id}{path}", body)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer


def by_client(seen: Json) -> Counter[str]:
    """Return how many deliveries each client has."""
    return Counter({client: sum(counts.values()) for client, counts in seen["clients"].items()})
