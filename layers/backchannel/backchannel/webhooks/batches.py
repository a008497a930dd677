"""Batches: many events in one webhook. A bad one does not keep the others out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

from backchannel.errors import CallerError, PayloadTooLargeError
from backchannel.webhooks.request import Parsed, Proven, Refused

MAX_EVENTS = 1_000
"""Events of a batch: as many as are stored while API Gateway waits."""


def read_batch(entries: Sequence[Proven], read: Callable[[Proven], Parsed]) -> Parsed:
    """Read each entry. One that is not valid is refused; the sender would send all of them again, or none, after an error.

    Raises:
        PayloadTooLargeError: there are too many.

    """
    if len(entries) > MAX_EVENTS:
        raise PayloadTooLargeError(f"the batch has more than {MAX_EVENTS} events")
    return _together([_read(index, entry, read) for index, entry in enumerate(entries)])


def _read(index: int, entry: Proven, read: Callable[[Proven], Parsed]) -> Parsed:
    try:
        return read(entry)
    except CallerError as error:
        return Parsed(refused=(Refused(index, error.code),))


def _together(parts: Iterable[Parsed]) -> Parsed:
    """Return all members of all parts: tuples one after another, counts as their sum."""
    found = [*parts]
    members: dict[str, Any] = {each.name: each.default for each in fields(Parsed)}
    return Parsed(**{name: sum((getattr(part, name) for part in found), start=empty) for name, empty in members.items()})
