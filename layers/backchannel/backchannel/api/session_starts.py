"""RP sessions as the operator reports them: one as a JSON object, or many from before the installation as lines of JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from backchannel import strict_json
from backchannel.api.problems import place
from backchannel.api.requests import RpSessionStart, milliseconds
from backchannel.errors import CallerError, MalformedRequestError, PayloadTooLargeError, StartTimeMissingError
from backchannel.sessions.events import RpSessionStarted, event_time, expiry_time, identifier, subject

NDJSON = "application/x-ndjson"

MAX_LINES = 100
"""Lines of one part: they are stored while its sender waits, and all again if one of them could not be stored."""

MAX_OCTETS = 1_048_576
"""Octets of one part; a line with long names in it has some hundreds."""

_BOM = "\ufeff".encode()
_LOST = "\ufffd"
"""What readers put in the place of octets that are not UTF-8. A subject with it would never be found again."""


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not stored, by its number, with what is wrong: each time where, and in words that repeat no value."""

    line: int
    code: str
    errors: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """What a part says: the starts in it, and the lines that are none."""

    starts: tuple[RpSessionStarted, ...]
    refused: tuple[RefusedLine, ...]


_MEMBERS: Mapping[str, Callable[[RpSessionStart, int], Any]] = {
    "sub": lambda start, _: subject(start.sub),
    "client_id": lambda start, _: identifier("client_id", start.client_id),
    "sid": lambda start, _: None if start.sid is None else identifier("sid", start.sid),
    "client_sub": lambda start, _: None if start.client_sub is None else subject(start.client_sub),
    "started_at": lambda start, now: now if start.started_at is None else event_time(milliseconds(start.started_at), now),
    "expires_at": lambda start, _: None if start.expires_at is None else expiry_time(milliseconds(start.expires_at)),
}
"""How each member of an event is read from a request of this moment."""


def started(start: RpSessionStart, now: int) -> RpSessionStarted:
    """Return the event that a request reports.

    Raises:
        CallerError: a member cannot be what it says; ``at`` names it.

    """
    members = {}
    for name, read in _MEMBERS.items():
        try:
            members[name] = read(start, now)
        except CallerError as error:
            error.at = name
            raise
    return RpSessionStarted(**members, untimed=start.started_at is None)


def read_lines(body: bytes, now: int) -> Lines:
    """Read a part, line by line; blank lines say nothing.

    Raises:
        PayloadTooLargeError: it is larger, or has more lines, than is stored at once. Nothing of it is.
        MalformedRequestError: it has no line.

    """
    if len(body) > MAX_OCTETS:
        raise PayloadTooLargeError(f"the body is larger than {MAX_OCTETS} octets: send fewer lines at once")
    lines = [(number, line) for number, line in enumerate(body.removeprefix(_BOM).split(b"\n"), start=1) if line.strip()]
    if not lines:
        raise MalformedRequestError("the body has no line")
    if len(lines) > MAX_LINES:
        raise PayloadTooLargeError(f"the body has {len(lines)} lines: send at most {MAX_LINES} at once")
    read = [_read(number, line, now) for number, line in lines]
    return Lines(
        tuple(each for each in read if isinstance(each, RpSessionStarted)),
        tuple(each for each in read if isinstance(each, RefusedLine)),
    )


def _read(number: int, line: bytes, now: int) -> RpSessionStarted | RefusedLine:
    try:
        return _start(line, now)
    except ValidationError as error:
        return RefusedLine(number, MalformedRequestError.code, tuple((place(each), each["msg"]) for each in error.errors()))
    except CallerError as error:
        return RefusedLine(number, error.code, ((error.at or "", str(error)),))


def _start(line: bytes, now: int) -> RpSessionStarted:
    try:
        text = line.decode()
        document = strict_json.parse(text)
    except ValueError as error:
        raise MalformedRequestError("the line is no JSON object in UTF-8") from error
    if _LOST in text:
        raise MalformedRequestError("the line has U+FFFD: the file is not UTF-8, or was not when it was written")
    start = RpSessionStart.model_validate(document)
    event = started(start, now)
    if event.untimed:
        missing = StartTimeMissingError("a session from before needs the time when it started")
        missing.at = "started_at"
        raise missing
    return event
