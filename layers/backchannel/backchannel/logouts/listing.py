"""The list of an issuer's logouts, the newest first: found by an index, which may lag by seconds, and read as they are stored.

The index has a few keys for each issuer, over which its logouts are spread: in a storm there are thousands of them in a second.
"""

from __future__ import annotations

import heapq
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from backchannel.aws.dynamodb import bind, key, storage
from backchannel.deliveries.records import LOGOUT, Item
from backchannel.logouts.table import SHARDS, Logout, logout_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class LogoutList:
    """Reads the list."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def newest(self, issuer: str, within: tuple[str, str], *, before: str | None, limit: int) -> list[str]:
        """Return the places of logouts in the list, the newest first; with ``before``, those after that place."""
        first, last = within
        if before is not None:
            last = before
        with ThreadPoolExecutor(SHARDS) as pool:
            found = pool.map(lambda shard: self._of_shard(issuer, shard, (first, last), limit + 1), range(SHARDS))
            merged = heapq.merge(*found, reverse=True)
            return list(islice((place for place in merged if place != before), limit))

    def read(self, places: list[str]) -> dict[str, Logout]:
        """Return the logouts at these places as they are now; one whose record has expired is missing."""
        if not places:
            return {}
        place_of = {logout_id_of(place): place for place in places}
        with storage():
            items = self._items.batch_get([(logout_id, LOGOUT) for logout_id in place_of], consistent_read=True)
            return {place_of[item.pk]: logout_of(item) for item in items}

    def _of_shard(self, issuer: str, shard: int, within: tuple[str, str], limit: int) -> list[str]:
        with storage():
            found = self._items.logouts_by_time.query(
                key(issuer, str(shard)),
                self._items.listed_at.between(*within),
                scan_index_forward=False,
                limit=limit,
                page_size=limit,
            )
            return [item.listed_at for item in found]


def logout_id_of(place: str) -> str:
    return place.partition("#")[2]


def time_range(since: int, until: int) -> tuple[str, str]:
    """Return the least and the greatest place that a logout of a time can have, in milliseconds since the epoch."""
    return f"{since:013d}", f"{until:013d}$"  # the character after #
