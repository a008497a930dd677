"""Opaque cursors: the ``next`` of a page is the ``after`` of the next request.

Cursors are not signed. An edited cursor can start at another place of its list, but never at a key that DynamoDB would refuse.
"""

import base64
import binascii
import json

from backchannel.errors import MalformedRequestError

_MAX_KEY = 1024
"""Octets of a sort key."""


def cursor(position: object, of: str) -> str | None:
    """Return the cursor of a position in the list named ``of``; None at the end of the list."""
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
    raise _foreign()


def sort_key(after: str | None, of: str, prefix: str) -> str | None:
    """Return the sort key of a cursor, if it starts with the ``prefix`` of its list's keys.

    Raises:
        MalformedRequestError: it is no cursor of this list.

    """
    found = position(after, of, str)
    if found is None or (found.startswith(prefix) and is_key(found)):
        return found
    raise _foreign()


def index_key(found: object, within: tuple[str, str]) -> dict[str, str] | None:
    """Return a position in the index of deliveries, if it lies ``within`` two range keys; None is the beginning.

    Raises:
        MalformedRequestError: it is not.

    """
    first, last = within
    match found:
        case None:
            return None
        case {"pk": str(pk), "sk": str(sk), "status_changed": str(at)} if first <= at <= last:
            if all(is_key(part) for part in (pk, sk, at)):
                return {"pk": pk, "sk": sk, "status_changed": at}
    raise _foreign()


def is_key(text: str) -> bool:
    """Whether DynamoDB takes it for a key; it may hold identifiers of any script."""
    try:
        return 1 <= len(text.encode()) <= _MAX_KEY
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _foreign() -> MalformedRequestError:
    return MalformedRequestError("after is not a cursor of this list")
