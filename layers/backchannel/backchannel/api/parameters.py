"""What stands in a request's path and query."""

from typing import Annotated
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from backchannel.providers.table import NAME
from backchannel.sessions.events import MAX_IDENTIFIER, identifier

_ESCAPED = 12
"""Characters of a path that one character can take: four octets, each as %XX."""

Name = Annotated[str, Path(pattern=f"^{NAME}$")]
Alg = Annotated[str, Path(min_length=1, max_length=16)]
LogoutId = Annotated[str, Path(min_length=1, max_length=255)]
EscapedClientId = Annotated[str, Path(min_length=1, max_length=_ESCAPED * MAX_IDENTIFIER)]
QueryIdentifier = Annotated[str | None, Query(min_length=1, max_length=MAX_IDENTIFIER)]
After = Annotated[str | None, Query(description="the next of the page before")]
Limit = Annotated[int, Query(ge=1, le=100)]


def client_id_in_path(escaped: str) -> str:
    """Return a ``client_id`` without the escapes that a path needs.

    Raises:
        IdentifierInvalidError: no client can have it.

    """
    return identifier("client_id", unquote(escaped))
