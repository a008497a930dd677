"""The slow lane: a client that takes its time must not take the place of a quick one.

Its first attempts move from DeliveryQueue to RetryQueue at once, which has workers of its own. Each execution environment knows
what it has seen itself, so that the quick path reads and writes nothing.
"""

import threading
import time
from collections.abc import Callable

import cachetools

SLOW_MS = 2_000
"""A POST that takes as long as this, in milliseconds, makes its client a slow one, and the next quicker one ends that."""

REMEMBERED = 300.0
"""Seconds after which a client that was slow is given another chance."""

MAX_CLIENTS = 4096


class SlowClients:
    """The clients that were slow of late. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._slow = cachetools.TTLCache[tuple[str, str], bool](MAX_CLIENTS, REMEMBERED, clock)
        self._lock = threading.Lock()

    def note(self, provider: str, client_id: str, post_ms: float) -> None:
        """Remember how long a POST took."""
        with self._lock:
            if post_ms >= SLOW_MS:
                self._slow[provider, client_id] = True
            else:
                self._slow.pop((provider, client_id), None)

    def is_slow(self, provider: str, client_id: str) -> bool:
        """Whether the client's last POST, not long ago, was slow."""
        with self._lock:
            return (provider, client_id) in self._slow
