"""`backchannel tail`: deliveries as they happen."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from backchannel_cli.commands.logout_watch import step
from backchannel_cli.commands.names import both
from backchannel_cli.commands.watching import leaving
from backchannel_cli.output import Json
from backchannel_cli.run import Run, of
from backchannel_cli.service import path_of

EVERY = 2.0
"""Seconds between two looks at all clients."""

CLIENTS_EVERY = 60.0
"""Seconds after which the clients of a provider are listed anew."""

LAG = timedelta(seconds=20)
"""How far the list of deliveries may lag behind."""

FIRST = timedelta(minutes=1)
"""How long ago the first deliveries that are shown may be."""


def tail(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PROVIDER[/CLIENT]", help="Such as acme, or acme/wiki.")],
    *,
    for_: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="End after so long; else ^C ends it.")
    ] = None,
) -> None:
    """Follow deliveries as they happen, from a minute ago on: backchannel tail acme."""
    run = of(context)
    provider, client_id = both(name, "client") if "/" in name else (name, None)
    if client_id is not None:
        run.service.get(path_of("providers", provider, "clients", client_id))  # a wrong name would be followed for ever
    deadline = None if for_ is None else time.monotonic() + for_
    with leaving(f"Follow them again: {run.command('tail', name)}"):
        _Tail(run, provider, client_id).follow(deadline)


class _Tail:
    def __init__(self, run: Run, provider: str, client_id: str | None) -> None:
        self._run = run
        self._provider = provider
        self._is_one = client_id is not None
        self._clients = [client_id] if client_id is not None else []
        self._listed = 0.0
        self._seen: dict[tuple[object, ...], datetime] = {}
        self._newest = datetime.now(UTC) - FIRST + LAG

    def follow(self, deadline: float | None) -> None:
        while True:
            for delivery in sorted(self._new(), key=lambda each: each["updated_at"]):
                self._run.output.event(delivery, step(delivery))
            left = EVERY if deadline is None else min(EVERY, deadline - time.monotonic())
            if left <= 0:
                return
            time.sleep(left)

    def _new(self) -> Iterator[Json]:
        since = self._newest - LAG
        self._seen = {place: at for place, at in self._seen.items() if at >= since}
        query = {"since": since.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        path = path_of("providers", self._provider, "deliveries")
        for client_id in self._known_clients():
            for delivery in self._run.service.list(path, "deliveries", {"client_id": client_id, **query}):
                members = ("logout_id", "client_id", "sid", "status", "attempts", "updated_at")
                place = tuple(delivery[member] for member in members)
                at = datetime.fromisoformat(delivery["updated_at"])
                if place not in self._seen:
                    self._seen[place] = at
                    self._newest = max(self._newest, at)
                    yield delivery

    def _known_clients(self) -> list[str]:
        if not self._is_one and (not self._listed or time.monotonic() - self._listed > CLIENTS_EVERY):
            clients = self._run.service.list(path_of("providers", self._provider, "clients"), "clients")
            self._clients = [each["client_id"] for each in clients]
            self._listed = time.monotonic()
        return self._clients
