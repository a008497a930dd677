"""When the next logout of a mass logout may be released: so many tokens a second, in all and for each client. Pure.

Each token moves a time forward, and none is released before its time has come. What was not released in time, because a run was
between two slices or was killed, is made up for to a small extent only: an RP is never sent a burst.
"""

import heapq
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CATCH_UP = 2_000
"""Milliseconds of delay that are made up for."""

MOST_KEPT = 500


@dataclass(frozen=True, slots=True)
class Pace:
    """From when on the next token may be released: at all, and to a client; in milliseconds since the epoch.

    ``rate`` and ``client_rate`` are what these times were made of.
    """

    next_at: float = 0
    of_client: Mapping[str, float] = field(default_factory=dict)
    rate: int = 1
    client_rate: int = 1


def ready_at(pace: Pace, tokens: Mapping[str, int]) -> float:
    """Return when a logout may be released that becomes these tokens of each client."""
    return max([pace.next_at, *(pace.of_client.get(client, 0) for client in tokens)])


def after_release(pace: Pace, tokens: Mapping[str, int], now: int, rate: int, client_rate: int) -> Pace:
    """Return the pace after the release of a logout; one without tokens counts as one, since its fan-out is work, too."""
    oldest = now - CATCH_UP
    of_client = {client: at for client, at in pace.of_client.items() if at > oldest}
    for client, number in tokens.items():
        of_client[client] = max(of_client.get(client, 0), oldest) + 1000 * number / client_rate
    return Pace(max(pace.next_at, oldest) + 1000 * max(1, sum(tokens.values())) / rate, of_client, rate, client_rate)


def at_rates(pace: Pace, now: int, rate: int, client_rate: int) -> Pace:
    """Return the pace at rates that may be others: what still has to be waited for takes less time, or more."""
    of_client = {client: _rescaled(at, now, pace.client_rate / client_rate) for client, at in pace.of_client.items()}
    return Pace(_rescaled(pace.next_at, now, pace.rate / rate), of_client, rate, client_rate)


def _rescaled(at: float, now: int, factor: float) -> float:
    return now + (at - now) * factor if at > now else at


def kept(pace: Pace) -> dict[str, Any]:
    """Return what the table keeps of a pace: an item has at most 400 KB, so of many clients those whose turn comes last."""
    latest = heapq.nlargest(MOST_KEPT, pace.of_client.items(), key=lambda each: each[1])
    return {**asdict(pace), "of_client": dict(latest)}
