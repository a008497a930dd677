"""One CPU for the threads of a pool.

The threads of an interpreter take turns under its lock. On several CPUs each turn wakes a thread on another one, which mostly
finds the lock taken again: with ten busy threads that costs nearly as much CPU time as a logout token. A function with too
little memory to be given a whole CPU loses nothing by keeping them on one.
"""

import contextlib
import os
import random
from collections.abc import Callable


def shared_by_threads() -> Callable[[], None]:
    """Return a function that moves its calling thread to one CPU, the same for all.

    Where the platform cannot do that or refuses it, the function does nothing: an error would end the pool with its threads.
    """
    if not hasattr(os, "sched_setaffinity"):
        return lambda: None
    try:
        cpu = random.choice(sorted(os.sched_getaffinity(0)))  # noqa: S311 - spreads processes, protects nothing
    except OSError:
        return lambda: None
    return lambda: _move_to(cpu)


def _move_to(cpu: int) -> None:
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {cpu})
