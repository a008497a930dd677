"""FetchedDocumentsTable and its like for clients and senders: last good copies, and when each document was last attempted.

| pk | |
|---|---|
| the key of a ``Location`` | body, fetched_at, attempted_at, failure |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from backchannel.aws.dynamodb import assignments, bind, optional_int, storage, update_if
from backchannel.tokens.document_store import MAX_STALE, StoredDocument

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT = 2 * MAX_STALE
"""Milliseconds for which a document is kept that nobody asks for."""


class _DocumentItem(Model):
    pk = UnicodeAttribute(hash_key=True)
    body = UnicodeAttribute(null=True)
    fetched_at = NumberAttribute(null=True)
    attempted_at = NumberAttribute()
    failure = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()


class FetchedDocuments:
    """The operations on one of these tables: a ``DocumentStore``."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(_DocumentItem, dynamodb, table_name)

    def get(self, key: str) -> StoredDocument | None:
        """Return what is known of a document."""
        with storage():
            try:
                item = self._items.get(key, consistent_read=True)
            except self._items.DoesNotExist:
                return None
        return StoredDocument(int(item.attempted_at), item.body or "", optional_int(item.fetched_at) or 0, item.failure)

    def claim(self, key: str, now: int, before: int) -> bool:
        """Note that the caller attempts to fetch a document; False if somebody has done so after ``before``."""
        is_due = self._items.attempted_at.does_not_exist() | (self._items.attempted_at <= before)
        changed = assignments(self._items, attempted_at=now, failure=None, expires_at=(now + _KEPT) // 1000)
        return update_if(self._items(key), is_due, changed)

    def save(self, key: str, body: str, attempted_at: int) -> None:
        """Store what an attempt has fetched, unless there was another attempt since."""
        changed = assignments(self._items, body=body, fetched_at=attempted_at, failure=None)
        update_if(self._items(key), self._items.attempted_at == attempted_at, changed)

    def fail(self, key: str, failure: str, attempted_at: int) -> None:
        """Store how an attempt has failed, unless there was another attempt since."""
        update_if(self._items(key), self._items.attempted_at == attempted_at, assignments(self._items, failure=failure))
