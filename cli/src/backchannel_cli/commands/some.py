"""The beginning of a list that may be long."""

from collections.abc import Iterator
from itertools import islice

from backchannel_cli.output import Json
from backchannel_cli.run import Run

MOST = 1_000_000


def some(run: Run, items: Iterator[Json], limit: int) -> list[Json]:
    """Return so many items; say so if there are more."""
    found = list(islice(items, limit))
    if len(found) == limit and next(items, None) is not None:
        run.output.say(f"These are the first {limit}; there are more: give a larger --limit.")
    return found
