"""Configuration that a function has read, kept for a minute."""

import time
from collections.abc import Callable

CACHE_SECONDS = 60.0
"""How long a function may go on with the configuration it has read."""


class Cache[K, V]:
    """What ``load`` returned for a key, for at most CACHE_SECONDS; what it raised is not kept."""

    def __init__(self, load: Callable[[K], V], clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._entries: dict[K, tuple[float, V]] = {}

    def __call__(self, key: K) -> V:
        """Return the value of ``key``."""
        now = self._clock()
        entry = self._entries.get(key)
        if entry is None or now - entry[0] >= CACHE_SECONDS:
            entry = self._entries[key] = (now, self._load(key))
        return entry[1]
