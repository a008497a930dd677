"""One change of a source at a time: its settings and its secret are stored in two places, and belong together.

In ProvidersTable, ``CHANGE#<provider>`` with ``<source>`` is there while somebody changes that source. Whoever does not get it
has changed nothing. Whoever has it loses no race: nobody else's settings come between the secret and its own.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from backchannel.aws.dynamodb import ConditionFailedError, bind, key, storage
from backchannel.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE = 30_000
"""Milliseconds that a change has the source for itself: a little longer than `admin` may run (``Timeout`` in template.yaml)."""

_TRIES = 12
_PAUSE = 0.25
"""Seconds between two tries: a change takes less, unless a document has to be fetched for it."""


class _ChangeItem(Model):
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    change = UnicodeAttribute()
    until = NumberAttribute()


class SourceChanges:
    """Who changes which source now."""

    def __init__(
        self,
        dynamodb: DynamoDBClient,
        table_name: str,
        *,
        now: Callable[[], int] = lambda: round(time.time() * 1000),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._items = bind(_ChangeItem, dynamodb, table_name)
        self._now = now
        self._sleep = sleep

    @contextmanager
    def alone(self, provider: str, source: str) -> Iterator[None]:
        """Have a source for oneself, be it there or not.

        Raises:
            StorageUnavailable: others have it all the time.

        """
        item = self._items(key("CHANGE", provider), source, change=str(uuid.uuid4()))
        try:
            self._take(item)
            yield
        finally:
            self._leave(item)  # also where the answer to the taking was lost

    def _take(self, item: _ChangeItem) -> None:
        for _ in range(_TRIES):
            now, items = self._now(), self._items
            item.until = now + LEASE
            # An earlier try of this very write may have got through.
            is_free = items.until.does_not_exist() | (items.until <= now) | (items.change == item.change)
            try:
                with storage():
                    item.save(is_free)
            except ConditionFailedError:
                self._sleep(_PAUSE)
                continue
            return
        raise StorageUnavailable("others change the source at the same time")

    def _leave(self, item: _ChangeItem) -> None:
        try:
            with storage():
                item.delete(self._items.change == item.change)
        except (ConditionFailedError, StorageUnavailable):
            return  # it is over by itself
