"""Configuration that a function has read, kept for a minute."""

import threading
import time
from collections.abc import Callable
from typing import Any

import cachetools

CACHE_SECONDS = 60.0
"""How long a function may go on with the configuration it has read."""

MAX_ENTRIES = 4096


def cached[**P, V](load: Callable[P, V], clock: Callable[[], float] = time.time) -> Callable[P, V]:
    """Return ``load`` with a memory: of a result, for at most CACHE_SECONDS, and of no error.

    The clock is the wall's: a monotonic one may stop while Lambda has frozen the environment.
    """
    results = cachetools.TTLCache[Any, V](MAX_ENTRIES, CACHE_SECONDS, clock)
    return cachetools.cached(results, lock=threading.Lock())(load)
