"""Configuration that a function has read, kept for a minute."""

import threading
import time
from collections.abc import Callable
from typing import Any

import cachetools

from backchannel.errors import NotFoundError

CACHE_SECONDS = 60.0
"""How long a function may go on with the configuration it has read."""

PUBLISHED_SECONDS = 5.0
"""How long the keys that it has read may be published: a key that is suspected must disappear at once."""

MISS_SECONDS = 5.0
"""How long it may go on without what it has not found. Short: whoever has just configured a source sends webhooks next."""

MAX_ENTRIES = 4096


def cached[**P, V](load: Callable[P, V], clock: Callable[[], float] = time.time, seconds: float | None = None) -> Callable[P, V]:
    """Return ``load`` with a memory: of a result, for at most ``seconds`` (default: CACHE_SECONDS), and of no error.

    The clock is the wall's: a monotonic one may stop while Lambda has frozen the environment.
    """
    results = cachetools.TTLCache[Any, V](MAX_ENTRIES, CACHE_SECONDS if seconds is None else seconds, clock)
    return cachetools.cached(results, lock=threading.Lock())(load)


def with_misses[**P, V](load: Callable[P, V], clock: Callable[[], float] = time.time) -> Callable[P, V]:
    """Return ``load`` with a memory of what it did not find, for at most MISS_SECONDS: whoever names garbage costs few reads.

    For strangers' requests alone. A delivery to a client that was not found is final, so its client is looked up anew.
    """
    misses = cachetools.TTLCache[Any, str](MAX_ENTRIES, MISS_SECONDS, clock)
    lock = threading.Lock()

    def load_unless_missed(*args: P.args, **kwargs: P.kwargs) -> V:
        key = args, tuple(kwargs.items())
        with lock:
            missed = misses.get(key)
        if missed is not None:
            raise NotFoundError(missed)
        try:
            return load(*args, **kwargs)
        except NotFoundError as error:
            with lock:
                misses[key] = str(error)
            raise

    return load_unless_missed
