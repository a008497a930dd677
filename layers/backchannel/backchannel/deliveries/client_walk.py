"""A walk through a client's deliveries in the index, range by range."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.table import Deliveries


class Place(NamedTuple):
    """Where a walk goes on: the name of a range, and the key in it after which; None for its beginning."""

    name: str
    after: dict[str, str] | None


def walk(
    deliveries: Deliveries,
    client: tuple[str, str],
    ranges: Mapping[str, tuple[str, str]],
    start: Place,
    limit: Callable[[], int],
) -> Iterator[tuple[Sequence[DeliveryRecord], Place | None]]:
    """Yield the pages from ``start`` on, each with the place of the next one; None after the last.

    ``client`` is its issuer and its id. ``limit`` is asked for the size of each page.
    """
    names = [*ranges]
    names = names[names.index(start.name) :]
    after = start.after
    for name, following in zip(names, (*names[1:], None), strict=True):
        while True:
            page = deliveries.of_client(*client, ranges[name], after=after, limit=limit())
            after = page.cursor
            place = name if after is not None else following
            yield page.items, None if place is None else Place(place, after)
            if after is None:
                break
