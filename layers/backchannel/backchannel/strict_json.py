"""JSON that somebody else wrote: read as every reader reads it, or refused."""

import json
from typing import Any, NoReturn

from backchannel.errors import shown

MAX_NESTING = 64
"""Objects and lists within one another. No sender nests so many, and what reads or writes more could overflow its stack."""


def read(text: str | bytes) -> Any:
    """Read JSON. A text in it may hold half of a surrogate pair, which cannot be written as UTF-8.

    Raises:
        ValueError: it is no JSON, nests too deeply, names a member twice, or has a number that JSON does not have.

    """
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except _TwiceError:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON that can be read") from error
    if not _is_shallow(document):
        raise ValueError("nested too deeply")
    return document


def parse(text: str) -> dict[str, Any]:
    """Read a JSON object that can be written again as it is.

    Raises:
        ValueError: it is none, or has a number or a text that cannot be written.

    """
    document = read(text)
    try:
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ValueError("not JSON that can be read") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - for its reader, a wrong type is a wrong value
    return document


class _TwiceError(ValueError):
    pass


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is there twice: one reader takes the first, another the last (RFC 8259, section 4)."""
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            raise _TwiceError(f"the member {shown(name)} is there twice")
        found[name] = value
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _is_shallow(document: object) -> bool:
    level = [document]
    for _ in range(MAX_NESTING + 1):
        containers = [each for each in level if isinstance(each, dict | list)]
        if not containers:
            return True
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
    return False
