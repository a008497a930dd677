"""Watching what the service does: it goes on when nobody watches any more."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from backchannel_cli.errors import StoppedError

PENDING = ("queued", "retrying")
"""The statuses of a delivery that are not final; all others but ``accepted`` mean that it was given up or not wanted."""


@contextmanager
def leaving(next_step: str) -> Iterator[None]:
    """Let ^C end the watching, and nothing else; ``next_step`` says how to go on watching."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError("You stopped watching. The work goes on.", next_step) from error


def not_accepted(counts: Mapping[str, int]) -> dict[str, int]:
    """Return, of counts by status, those that are final and not accepted."""
    return {status: count for status, count in counts.items() if status not in {*PENDING, "accepted"} and count}


def told(counts: Mapping[str, int]) -> str:
    """Return counts by status in words, accepted first."""
    ordered = sorted(counts.items(), key=lambda each: (each[0] != "accepted", each[0]))
    return ", ".join(f"{count} {status}" for status, count in ordered if count) or "no delivery yet"
