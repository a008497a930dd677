"""JSON that somebody else wrote: an object that every reader reads alike, and that can be written again as it is."""

import json
from typing import Any

from backchannel.errors import shown


def parse(text: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: it is none, nests too deeply, names a member twice, or has a number or a text that cannot be written.

    """
    try:
        document = json.loads(text, object_pairs_hook=_object)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except _TwiceError:
        raise
    except (ValueError, RecursionError) as error:
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
