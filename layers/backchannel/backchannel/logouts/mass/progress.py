"""What has become of what a mass logout has released: asked of the logouts' own records, so no delivery costs a write more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from backchannel.aws.dynamodb import bind, storage
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.records import LOGOUT, Item
from backchannel.logouts.mass.records import FANNED_OUT, LOST, Entry, MassCounts, MassLogout, Work
from backchannel.sessions.events import logout_id

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SOON, SELDOM = 3_000, 600_000
"""Milliseconds to the next look at a chunk: after something has changed, and at most if a client is down for hours."""

MOST_CLIENTS = 50
"""How many clients have totals of their own."""

OTHERS = "*"
"""The rest of them; no client has this name in the totals before there are too many."""

LOST_AFTER = 4 * 86_400_000
"""Milliseconds after its release when a logout that is not settled is lost. So long a message lives in its queue, and that is
twice as long as any client's deliveries are tried."""

_CONCURRENCY = 8
_STATUSES = frozenset(map(str, Status))


class Standings:
    """Reads how logouts stand."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def of(self, logout_id: str) -> MassCounts:
        """Return whether a logout is fanned out, and how many of its deliveries have which status at which client."""
        with storage():
            found = list(
                self._items.query(
                    logout_id,
                    consistent_read=True,
                    attributes_to_get=["pk", "sk", "status", "client_id", "fanned_out_at"],
                )
            )
        tally = Counter(f"{item.status} {item.client_id}" for item in found if item.status is not None)
        tally[FANNED_OUT] = sum(item.sk == LOGOUT and item.fanned_out_at is not None for item in found)
        return tally

    def look(
        self,
        mass: MassLogout,
        chunk: tuple[Work, Sequence[Entry]],
        known: MassCounts,
        now: int,
        waits: Callable[[str], bool],
    ) -> Work:
        """Look at what is released of a chunk and not settled; ``known`` are the totals, which name clients.

        ``waits`` says whether a client's deliveries may be pending for longer than any are tried.
        """
        work, entries = chunk
        names = work.under_way
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            ids = [logout_id(mass.issuer, entries[each].end(mass.end)) for each in names]
            standing = dict(zip(names, pool.map(self.of, ids), strict=True))
        return looked(work, standing, known, now, waits)


def looked(
    work: Work,
    standing: dict[int, MassCounts],
    known: MassCounts,
    now: int,
    waits: Callable[[str], bool] = lambda _: False,
) -> Work:
    """Return a chunk with what was seen of its logouts. Pure."""
    is_late = now - work.released_at > LOST_AFTER
    clients = {client for name in known for status, _, client in [name.partition(" ")] if status in _STATUSES}
    settled, counted = work.settled.copy(), work.settled.copy()
    left = []
    for index in work.left:
        if index not in standing:
            left.append(index)
            continue
        tally = _by_known_clients(standing[index], clients)
        if is_late and _is_lost(standing[index], waits):
            tally[LOST] = 1
        counted.update(tally)
        if tally[LOST] or is_settled(tally):
            settled.update(tally)
        else:
            left.append(index)
    is_changed = counted != work.counted
    wait = SOON if is_changed or not work.wait else min(2 * work.wait, SELDOM)
    return replace(work, left=tuple(left), settled=+settled, counted=+counted, look_at=now + wait, wait=wait)


def is_settled(tally: MassCounts) -> bool:
    """Whether a logout is fanned out and all of its deliveries are final."""
    return tally[FANNED_OUT] > 0 and not any(name.partition(" ")[0] in PENDING for name, number in tally.items() if number)


def _is_lost(tally: MassCounts, waits: Callable[[str], bool]) -> bool:
    """Whether nothing will come any more of a logout whose release is long ago: it waits for no client, and is not settled."""
    pending = [
        client for name, number in tally.items() for status, _, client in [name.partition(" ")] if number and status in PENDING
    ]
    return not is_settled(tally) and not any(map(waits, pending))


def by_status(tally: MassCounts) -> dict[str, int]:
    """Return how many deliveries have which status."""
    counts = Counter[str]()
    for name, number in tally.items():
        status = name.partition(" ")[0]
        if status in _STATUSES:
            counts[status] += number
    return dict(+counts)


def _by_known_clients(tally: MassCounts, clients: set[str]) -> MassCounts:
    """Count under the name of a client, as long as there are few; ``clients`` are those that have been counted so."""
    counted: MassCounts = Counter()
    for name, number in tally.items():
        status, _, client = name.partition(" ")
        if client and client not in clients:
            if len(clients) < MOST_CLIENTS:
                clients.add(client)
            else:
                client = OTHERS
        counted[f"{status} {client}" if client else name] += number
    return counted
