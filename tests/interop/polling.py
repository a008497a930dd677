"""Waiting for what other processes do."""

import time
from collections.abc import Callable

_STEP_S = 0.1


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """Ask again and again until the condition holds; tell whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_S)
    return True
