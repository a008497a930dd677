"""How pynamodb reaches a table: bound to a name and a client that the caller gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pynamodb.exceptions import PynamoDBException
from pynamodb.models import Model

from backchannel.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONDITION_FAILED = "ConditionalCheckFailedException"
_PART_ESCAPES = str.maketrans({"#": "%23", "%": "%25"})


class ConditionFailedError(Exception):
    """The item is not as the write expected it."""


def bind[M: Model](model: type[M], dynamodb: DynamoDBClient, table_name: str) -> type[M]:
    """Return ``model`` over the table of that name.

    pynamodb would make a client for each model and a session for each thread; here all share one client.
    """
    meta = type("Meta", (), {"table_name": table_name})
    bound: type[M] = type(model)(model.__name__, (model,), {"Meta": meta})  # type: ignore[misc]
    bound._get_connection().connection._client = dynamodb  # type: ignore[assignment]  # noqa: SLF001
    return bound


def key(*parts: str) -> str:
    """Join the parts of a key with ``#``; a ``#`` inside a part is escaped, so that no two lists give one key."""
    return "#".join(part.translate(_PART_ESCAPES) for part in parts)


def parts(joined: str) -> list[str]:
    """Return the parts of a key."""
    return [part.replace("%23", "#").replace("%25", "%") for part in joined.split("#")]


@contextmanager
def storage() -> Iterator[None]:
    """Turn pynamodb's exceptions into what our callers tell apart.

    Raises:
        ConditionFailedError: a conditional write met another item than it expected.
        StorageUnavailable: everything else.

    """
    try:
        yield
    except PynamoDBException as error:
        # Not cause_response_code, which raises where the cause is a connection that broke: its response is None.
        code = (getattr(error.cause, "response", None) or {}).get("Error", {}).get("Code")
        if code == CONDITION_FAILED:
            raise ConditionFailedError from error
        raise StorageUnavailable(code or type(error.cause or error).__name__) from error
