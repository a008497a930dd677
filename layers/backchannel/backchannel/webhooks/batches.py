"""Batches: many events in one webhook. A bad one does not keep the others out.

That is so of what is no valid event, and of what not every reader reads alike: a batch is read ``loosely``, its entries are not.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

from backchannel.errors import CallerError, MalformedRequestError, PayloadTooLargeError
from backchannel.webhooks.request import Parsed, Proven, Refused

_UNREADABLE = object()
"""Stands for what ``strict_json`` refuses. It cannot be written."""

MAX_EVENTS = 1_000
"""Events of a batch: as many as are stored while API Gateway waits."""


def loosely(body: bytes) -> Any:
    """Return a body as JSON; what in it cannot be read is found when its entry is.

    Raises:
        MalformedRequestError: it is no JSON at all.

    """
    try:
        return json.loads(body, object_pairs_hook=_object, parse_constant=lambda _: _UNREADABLE, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError("the body is not JSON, or nested too deeply") from error


def entries_of(found: Iterable[object]) -> list[Proven]:
    """Return what was read loosely as entries of their own."""
    return [Proven(_written(each)) for each in found]


def _object(members: list[tuple[str, Any]]) -> object:
    found = dict(members)
    return found if len(found) == len(members) else _UNREADABLE


def _integer(digits: str) -> object:
    try:
        return int(digits)
    except ValueError:
        return _UNREADABLE


def _written(entry: object) -> bytes:
    try:
        return json.dumps(entry).encode()
    except (TypeError, ValueError, RecursionError):
        return b""


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
