"""The body of a request, read strictly."""

from typing import Any

from backchannel import strict_json
from backchannel.errors import MalformedRequestError


def parsed(body: str | bytes) -> dict[str, Any]:
    """Read a body.

    Raises:
        MalformedRequestError: it is no JSON object, or not one that every reader reads alike and that can be written again.

    """
    try:
        return strict_json.parse(body if isinstance(body, str) else body.decode())
    except ValueError as error:
        raise MalformedRequestError("the body is not JSON that can be read") from error
