"""Opaque cursors: what ``next`` of one page is, ``after`` of the next request has to be."""

import base64
import binascii
import json

from backchannel.errors import MalformedRequestError


def cursor(position: object, of: str) -> str | None:
    """Return the cursor of a position in the list ``of`` that name, None at the end of the list."""
    if position is None:
        return None
    return base64.urlsafe_b64encode(json.dumps({"of": of, "at": position}).encode()).decode().rstrip("=")


def position[T](after: str | None, of: str, kind: type[T]) -> T | None:
    """Return the position of a cursor.

    Raises:
        MalformedRequestError: it is no cursor of this list.

    """
    if after is None:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise MalformedRequestError("after is not a cursor") from error
    match decoded:
        case {"of": str(name), "at": at} if name == of and isinstance(at, kind):
            return at
    raise MalformedRequestError("after is not a cursor of this list")
