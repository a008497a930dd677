"""The slow lane: a client that takes its time must not take the place of a quick one.

Its first attempts move from DeliveryQueue to RetryQueue at once, which has workers of its own. Each execution environment knows
what it has seen itself, so that the quick path reads and writes nothing.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cachetools

SLOW_MS = 2_000
"""A POST that takes as long as this, in milliseconds, makes its client a slow one."""

QUICK_ANSWERS = 3
"""How many quicker answers in a row end that. One may be luck: a client under load answers some requests at once."""

REMEMBERED = 300.0
"""Seconds after which a client that was slow is given another chance."""

MAX_CLIENTS = 4096


@dataclass(slots=True)
class _Slow:
    """A slow client; it is changed in place, so that a quick answer does not put off its expiry."""

    quick_answers: int = 0


class SlowClients:
    """The clients that were slow of late. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._slow = cachetools.TTLCache[tuple[str, str], _Slow](MAX_CLIENTS, REMEMBERED, clock)
        self._lock = threading.Lock()

    def note(self, provider: str, client_id: str, post_ms: float, *, answered: bool) -> None:
        """Remember how long a POST took. Without an answer (a refused connection) a quick one says nothing."""
        client = provider, client_id
        with self._lock:
            if post_ms >= SLOW_MS:
                self._slow[client] = _Slow()
            elif answered and (slow := self._slow.get(client)) is not None:
                slow.quick_answers += 1
                if slow.quick_answers == QUICK_ANSWERS:
                    del self._slow[client]

    def is_slow(self, provider: str, client_id: str) -> bool:
        """Whether a POST to the client was slow not long ago, and no QUICK_ANSWERS have come since."""
        with self._lock:
            return (provider, client_id) in self._slow
