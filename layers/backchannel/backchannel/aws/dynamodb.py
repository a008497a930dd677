"""How pynamodb reaches a table: bound to a name and a client that the caller gives. What all tables need, once."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.pagination import ResultIterator
from pynamodb.transactions import TransactWrite

from backchannel.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONDITION_FAILED = "ConditionalCheckFailed"
"""How DynamoDB's error code begins, and the reason that a transaction gives."""

MAX_PART = 256
"""Octets of an identifier in a key. Two of them fit into a sort key of 1024 octets, one and an issuer into any other key."""

_PART_ESCAPES = str.maketrans({"#": "%23", "%": "%25"})


class ConditionFailedError(Exception):
    """The item is not as the write expected it."""


@dataclass(frozen=True, slots=True)
class Page[T, C = str]:
    """Some items of a list, and the cursor of the next page; None on the last. In a partition, the cursor is a sort key."""

    items: list[T]
    cursor: C | None


def bind[M: Model](model: type[M], dynamodb: DynamoDBClient, table_name: str) -> type[M]:
    """Return ``model`` over the table of that name.

    pynamodb would make a client for each model and a session for each thread; here all share one client.
    """
    meta = type("Meta", (), {"table_name": table_name})
    bound: type[M] = type(model)(model.__name__, (model,), {"Meta": meta})  # type: ignore[misc]
    bound._get_connection().connection._client = dynamodb  # type: ignore[assignment]  # noqa: SLF001
    return bound


class Part(str):
    """An identifier in the form that it has in a key."""

    __slots__ = ()


def part(identifier: str) -> Part:
    """Return an identifier as a part of a key: escaped, or if that is too long, ``%h`` and its hash, which nothing escaped is."""
    escaped = identifier.translate(_PART_ESCAPES)
    octets = escaped.encode()
    return Part(escaped if len(octets) <= MAX_PART else f"%h{hashlib.sha256(octets).hexdigest()}")


def key(*parts: str) -> str:
    """Join the parts of a key with ``#``; a ``#`` inside a part is escaped, so that no two lists give one key."""
    return "#".join(each if isinstance(each, Part) else each.translate(_PART_ESCAPES) for each in parts)


def parts(joined: str) -> list[str]:
    """Return the parts of a key; an identifier that was too long for it comes back as its hash."""
    return [part.replace("%23", "#").replace("%25", "%") for part in joined.split("#")]


def assignments(model: type[Model], **values: Any) -> list[Action]:
    """Return the actions that set attributes, or remove those whose value is None."""
    attributes = ((getattr(model, name), value) for name, value in values.items())
    return [attribute.remove() if value is None else attribute.set(value) for attribute, value in attributes]


def read[M: Model](model: type[M], pk: str, sk: str) -> M | None:
    """Return an item as it is now, None if there is none."""
    with storage():
        try:
            return model.get(pk, sk, consistent_read=True)
        except model.DoesNotExist:
            return None


def page[M: Model](
    query: Callable[..., ResultIterator[M]], *, after: Mapping[str, str] | None, limit: int | None
) -> Page[M, dict[str, str]]:
    """Run a query for one page; ``after`` and the cursor are whole keys, all of whose parts are strings."""
    start = None if after is None else {name: {"S": value} for name, value in after.items()}
    with storage():
        found = query(limit=limit, page_size=limit, last_evaluated_key=start)
        items = list(found)
        last = found.last_evaluated_key
    return Page(items, None if last is None else {name: value["S"] for name, value in last.items()})


def partition_page[M: Model](model: type[M], pk: str, keys: Condition | None, *, after: str | None, limit: int | None) -> Page[M]:
    """Return a page of a partition as it is now; ``keys`` is a condition on the sort key, None for all."""
    query = functools.partial(model.query, pk, keys, consistent_read=True)
    found = page(query, after=None if after is None else {"pk": pk, "sk": after}, limit=limit)
    return Page(found.items, None if found.cursor is None else found.cursor["sk"])


def optional_int(number: float | None) -> int | None:
    """Return a number that may be missing."""
    return None if number is None else int(number)


def update_if(item: Model, condition: Condition, actions: list[Action]) -> bool:
    """Write to an item, which afterwards is as it is stored; False if the condition does not hold."""
    try:
        with storage():
            item.update(actions, condition=condition)
    except ConditionFailedError:
        return False
    return True


@contextmanager
def transaction(model: type[Model]) -> Iterator[TransactWrite]:
    """Collect writes to a table that take effect together or not at all.

    Raises:
        ConditionFailedError: one of their conditions does not hold.

    """
    with storage(), TransactWrite(connection=model._get_connection().connection) as writes:  # noqa: SLF001
        yield writes


@contextmanager
def storage() -> Iterator[None]:
    """Turn pynamodb's exceptions into those that our callers tell apart.

    Raises:
        ConditionFailedError: a conditional write, or one of a transaction, met another item than it expected.
        StorageUnavailable: everything else.

    """
    try:
        yield
    except PynamoDBException as error:
        # Not cause_response_code, which raises where the cause is a connection that broke: its response is None.
        code = (getattr(error.cause, "response", None) or {}).get("Error", {}).get("Code")
        reasons = [reason.code for reason in getattr(error.cause, "cancellation_reasons", []) if reason is not None]
        if any(name.startswith(CONDITION_FAILED) for name in (code or "", *reasons)):
            raise ConditionFailedError from error
        raise StorageUnavailable(code or type(error.cause or error).__name__) from error
