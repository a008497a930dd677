"""Waiting for what other processes do: often, and not for ever."""

import time
from collections.abc import Callable

STEP = 0.05
"""Seconds between two looks, where none is asked for: little beside what most waits take."""


def until[T](look: Callable[[], T], *, holds: Callable[[T], object] = bool, seconds: float = 20, every: float = STEP) -> T:
    """Look until what is seen holds, and return it. A wait of a minute needs no more than a look ``every`` second.

    Raises:
        AssertionError: it did not in time; the message shows what was seen last.

    """
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s; seen last: {seen!r}"
        time.sleep(every)
    return seen
