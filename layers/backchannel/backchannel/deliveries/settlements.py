"""Is all of a logout final? Looks for the event bus alone; nothing that is sent to a relying party depends on them.

Whoever makes the last delivery final writes first and looks second, with strongly consistent reads: so somebody sees all of it.
Two may; what they announce has the same id.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backchannel.aws.dynamodb import bind, key, storage
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import LOGOUT, PENDING_STATUSES, DeliveryRecord, Item, delivery_record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PAGE = 100
"""Items that are read at once: a look ends at the first delivery that is not final."""

_LOOKED_AT = [
    *("pk", "sk", "status", "updated_at"),
    *("provider", "issuer", "reason", "ended_at", "fanned_out_at", "matched"),
]


@dataclass(frozen=True, slots=True)
class Settlement:
    """A logout whose deliveries are all final; times in milliseconds since the epoch.

    ``version`` is another one if a delivery of it has been sent again, or added, since.
    """

    logout_id: str
    provider: str
    issuer: str
    reason: str | None
    matched: int
    counts: dict[str, int]
    ended_at: int
    settled_at: int
    version: str


class Settlements:
    """The looks."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def find(self, logout_id: str) -> Settlement | None:
        """Return how a logout was settled, None while it is fanned out or a delivery is pending."""
        logout: Item | None = None
        counts, version, latest = Counter[str](), hashlib.sha256(), 0
        with storage():
            found = self._items.query(
                logout_id, self._items.sk >= LOGOUT, consistent_read=True, page_size=PAGE, attributes_to_get=_LOOKED_AT
            )
            for item in found:
                if item.sk == LOGOUT:
                    logout = item
                if item.status in PENDING_STATUSES or logout is None or logout.fanned_out_at is None:
                    return None
                if item.status is not None:
                    counts[item.status] += 1
                    latest = max(latest, int(item.updated_at))
                    version.update(f"{item.sk}\n{int(item.updated_at)}\n".encode())
        if logout is None:
            return None
        return Settlement(
            logout_id=logout_id,
            provider=logout.provider,
            issuer=logout.issuer,
            reason=logout.reason,
            matched=int(logout.matched or 0),
            counts=dict(counts),
            ended_at=int(logout.ended_at),
            settled_at=max(latest, int(logout.fanned_out_at)),
            version=version.hexdigest(),
        )

    def unaddressable(self, logout_id: str, since: int) -> list[DeliveryRecord]:
        """Return the deliveries of a logout that were recorded as final since then (milliseconds since the epoch)."""
        items = self._items
        is_new = (items.status == str(Status.UNADDRESSABLE)) & (items.updated_at >= since)
        with storage():
            found = items.query(logout_id, items.sk.startswith(key("RP", "")), is_new, consistent_read=True)
            return [delivery_record(item) for item in found]
