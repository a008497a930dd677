"""Waiting for what other processes do: often, and not for ever."""

import time
from collections.abc import Callable

STEP = 0.05
"""Seconds between two looks."""


def until[T](look: Callable[[], T], *, holds: Callable[[T], object] = bool, seconds: float = 20) -> T:
    """Look until what is seen holds, and return it.

    Raises:
        AssertionError: it did not in time; the message shows what was seen last.

    """
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s; seen last: {seen!r}"
        time.sleep(STEP)
    return seen
