"""Waiting for what other processes do: often, and not for ever."""

import time
from collections.abc import Callable

STEP = 0.05
"""Seconds between two looks, where none is asked for: little beside what most waits take."""

LONGEST = 0.5
"""Seconds between two looks on a busy machine, at most."""


def until[T](look: Callable[[], T], *, holds: Callable[[T], object] = bool, seconds: float = 20, every: float = STEP) -> T:
    """Look until what is seen holds, and return it. A wait of a minute needs no more than a look ``every`` second.

    After a look that took long, the next one waits twice as long: on a busy machine, looks must not take the time of what they
    wait for.

    Raises:
        AssertionError: it did not in time; the message shows what was seen last.

    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        seen = look()
        if holds(seen):
            return seen
        now = time.monotonic()
        assert now < deadline, f"not within {seconds} s; seen last: {seen!r}"
        time.sleep(max(every, min(2 * (now - began), LONGEST)))
