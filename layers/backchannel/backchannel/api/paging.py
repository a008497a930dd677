"""Opaque cursors: what ``next`` of one page is, ``after`` of the next request has to be."""

import base64
import binascii
import json

from backchannel.errors import MalformedRequestError


def cursor(position: object) -> str | None:
    """Return the cursor of a position, None at the end of a list."""
    return None if position is None else base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def position[T](after: str | None, kind: type[T]) -> T | None:
    """Return the position of a cursor.

    Raises:
        MalformedRequestError: it is no cursor of ours.

    """
    if after is None:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise MalformedRequestError("after is not a cursor") from error
    if not isinstance(decoded, kind):
        raise MalformedRequestError("after is not a cursor of this list")
    return decoded
