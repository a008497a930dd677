"""What is recorded of a logout, all of it at once: the service itself only ever looks at a page."""

from collections.abc import Iterator

from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.table import Deliveries


def all_of_logout(deliveries: Deliveries, logout_id: str) -> Iterator[DeliveryRecord]:
    """Walk through a logout's deliveries."""
    after: str | None = None
    while True:
        page = deliveries.of_logout(logout_id, after, 100)
        yield from page.items
        after = page.cursor
        if after is None:
            return
