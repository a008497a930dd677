"""What a turn knows of a mass logout's chunks: which one is released next, which one is looked at next, and the totals.

It changes only after the table has. There may be tens of thousands of chunks while a client is down, so each step costs little.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from backchannel.logouts.mass.chunks import Chunks, Segment
from backchannel.logouts.mass.records import Entry, MassCounts, Totals, Work

type ChunkKey = tuple[int, int]
"""A chunk: its segment, its number there."""


@dataclass(slots=True)
class Ledger:
    """The chunks that are not settled, and the totals."""

    chunks: Chunks
    mass_logout: str
    totals: Totals
    _works: dict[ChunkKey, Work] = field(default_factory=dict)
    _waiting: deque[ChunkKey] = field(default_factory=deque)
    _looks: list[tuple[int, ChunkKey]] = field(default_factory=list)
    _entries: dict[ChunkKey, list[Entry]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return how many chunks there are."""
        return len(self._works)

    def know(self, work: Work, entries: list[Entry] | None = None) -> None:
        """Take a chunk in that is in the table, behind all others that wait for their release."""
        if work.sent < work.size:
            self._waiting.append(_key(work))
        if entries is not None:
            self._entries[_key(work)] = entries
        self._keep(work)

    def entries(self, work: Work) -> list[Entry]:
        """Return the logouts of a chunk."""
        key = _key(work)
        if key not in self._entries:
            self._entries[key] = self.chunks.entries(self.mass_logout, work)
        return self._entries[key]

    def waiting(self) -> Iterator[Work]:
        """Yield the chunks that are to be released, in order."""
        return (self._works[key] for key in self._waiting)

    def look_at(self) -> float:
        """Return when the next look at a chunk is due, infinity if nothing is under way."""
        while self._looks:
            at, key = self._looks[0]
            work = self._works.get(key)
            if work is not None and work.is_under_way and work.look_at == at:
                return at
            heapq.heappop(self._looks)  # it has been released further, looked at, or settled
        return math.inf

    def to_look_at(self) -> Work:
        """Return the chunk whose turn it is; there has to be one."""
        return self._works[self._looks[0][1]]

    def add(self, segment: Segment, found: Sequence[Entry], now: int) -> Segment:
        """Store logouts that were found in a segment, which is read so far by now; return the segment as it is stored."""
        read_on, chunks, self.totals = self.chunks.add(self.mass_logout, segment, found, self.totals, now)
        for work, entries in chunks:
            self.know(work, entries)
        return read_on

    def finish_reading(self, now: int) -> None:
        """Note that everybody is found."""
        self.totals = self.chunks.finish_reading(self.mass_logout, self.totals, now)

    def save(self, changes: Sequence[tuple[Work, Work]], more: MassCounts, now: int) -> None:
        """Store how far chunks have come, each as it was and as it is by now, and what is counted more, or less."""
        tally = self.totals.tally.copy()
        tally.update(more)
        saved, self.totals = self.chunks.save(self.mass_logout, changes, (self.totals, replace(self.totals, tally=tally)), now)
        for work in saved:
            self._keep(work)
        while self._waiting and self._is_released(self._waiting[0]):
            self._waiting.popleft()

    def _is_released(self, key: ChunkKey) -> bool:
        work = self._works.get(key)
        return work is None or work.sent >= work.size

    def _keep(self, work: Work) -> None:
        key = _key(work)
        if not work.left:
            self._works.pop(key, None)
            self._entries.pop(key, None)
            return
        self._works[key] = work
        if work.is_under_way:
            heapq.heappush(self._looks, (work.look_at, key))


def _key(work: Work) -> ChunkKey:
    return work.segment, work.number
