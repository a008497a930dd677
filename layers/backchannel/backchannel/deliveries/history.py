"""What a delivery's record keeps of each of its last attempts: one text, so that a first attempt adds less than a hundred octets.

An attempt is a line: when its POST began, its code, how long the POST took, and the address that was dialled, if any was.
"""

from typing import NamedTuple

KEPT = 20
"""How many attempts are kept: all that the schedule of a day makes, and those of a redelivery."""


class PastAttempt(NamedTuple):
    """An attempt that was made; ``at`` in milliseconds since the epoch."""

    at: int
    code: str
    post_ms: int
    address: str | None


def with_attempt(history: str | None, attempt: PastAttempt) -> str:
    """Return the history with one attempt more, and without those that it is too long for."""
    line = f"{attempt.at} {attempt.code} {attempt.post_ms} {attempt.address or ''}"
    return line if history is None else "\n".join([*history.split("\n")[1 - KEPT :], line])


def past_attempts(history: str | None) -> list[PastAttempt]:
    """Return the attempts, the oldest first."""
    lines = [] if history is None else [line.split(" ") for line in history.split("\n")]
    return [PastAttempt(int(at), code, int(post_ms), address or None) for at, code, post_ms, address in lines]
