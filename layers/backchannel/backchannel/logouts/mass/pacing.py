"""When the next logout of a mass logout may be released: so many tokens a second, in all and for each client. Pure.

Each token moves a time forward, and none is released before its time has come. What was not released in time, because a run was
between two slices or was killed, is made up for to a small extent only: an RP is never sent a burst.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CATCH_UP = 2_000
"""Milliseconds of delay that are made up for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """From when on the next token may be released: at all, and to a client; in milliseconds since the epoch."""

    next_at: float = 0
    of_client: Mapping[str, float] = field(default_factory=dict)


def ready_at(pace: Pace, clients: Sequence[str]) -> float:
    """Return when a logout may be released that is told to these clients."""
    return max([pace.next_at, *(pace.of_client.get(client, 0) for client in clients)])


def after_release(pace: Pace, clients: Sequence[str], now: int, rate: int, client_rate: int) -> Pace:
    """Return the pace after the release of a logout: one token for each of these clients, or one if there is none."""
    oldest = now - CATCH_UP
    tokens = max(1, len(clients))
    of_client = {client: at for client, at in pace.of_client.items() if at > oldest}
    for client in clients:
        of_client[client] = max(of_client.get(client, 0), oldest) + 1000 / client_rate
    return Pace(max(pace.next_at, oldest) + 1000 * tokens / rate, of_client)
