"""The chunks of a mass logout: everything that it releases, how far that has come, and the totals.

A chunk is written together with the place where reading goes on, so nobody is left out and nobody is in two chunks. The totals
change together with the chunk that changes them, so they are exact, whoever dies when.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from pynamodb.expressions.condition import Condition

from backchannel.aws.dynamodb import bind, key, read, storage, transaction
from backchannel.logouts.mass.items import TOTALS, MassItem, expiry
from backchannel.logouts.mass.records import FOUND_SESSIONS, FOUND_SUBJECTS, Entry, Totals, Work

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CHUNK = 50
"""Logouts of one chunk."""

_MOST_OCTETS = 200_000
"""Of one chunk, whose item has at most 400 KB."""

_LAST_PLACE = 99_999


@dataclass(frozen=True, slots=True)
class Segment:
    """How far a segment is read: where to go on, who was the last, how many chunks it has; ``is_read`` once that is all."""

    number: int
    cursor: Any = None
    last: str | None = None
    chunks: int = 0
    is_read: bool = False
    version: int = 0


class Chunks:
    """The operations on chunks."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(MassItem, dynamodb, table_name)

    def subjects(self, mass_logout: str, number: int) -> list[str] | None:
        """Return a part of the listed subjects, None behind the last."""
        item = read(self._items, mass_logout, key("SUBJECTS", str(number)))
        return None if item is None else item.document

    def totals(self, mass_logout: str) -> Totals:
        """Return what is counted."""
        item = read(self._items, mass_logout, TOTALS)
        return Totals() if item is None else Totals(Counter(item.document), bool(item.is_read), int(item.version))

    def totals_of(self, mass_logouts: Sequence[str]) -> dict[str, Totals]:
        """Return what is counted of several."""
        keys = [(each, TOTALS) for each in mass_logouts]
        with storage():
            found = list(self._items.batch_get(keys, consistent_read=True))
        return {item.pk: Totals(Counter(item.document), bool(item.is_read), int(item.version)) for item in found}

    def segments(self, mass_logout: str, number: int) -> list[Segment]:
        """Return how far each of so many segments is read."""
        found = {int(item.sk.split("#")[1]): item for item in self._below(mass_logout, "SEGMENT")}
        return [_segment(each, found.get(each)) for each in range(number)]

    def work(self, mass_logout: str) -> Iterator[Work]:
        """Yield every chunk that is not settled, in the order of their release."""
        return map(_work, self._below(mass_logout, "WORK"))

    def entries(self, mass_logout: str, work: Work) -> list[Entry]:
        """Return the logouts of a chunk."""
        item = read(self._items, mass_logout, _name("CHUNK", work))
        names: list[str] = [] if item is None else item.document["clients"]
        listed = [] if item is None else item.document["entries"]
        return [
            Entry(sub, sid, {names[place]: number for place, number in sids}, sessions) for sub, sid, sids, sessions in listed
        ]

    def add(
        self, mass_logout: str, segment: Segment, entries: Iterable[Entry], totals: Totals, now: int
    ) -> tuple[Segment, list[tuple[Work, list[Entry]]], Totals]:
        """Store logouts that were found in a segment, which is read so far by now; return its chunks with their entries.

        Raises:
            ConditionFailedError: somebody else has read on.

        """
        parts = list(_parts(entries))
        numbers = count(segment.chunks)
        works = [
            Work(segment.number, number, len(part), left=tuple(range(len(part))), version=1)
            for number, part in zip(numbers, parts, strict=False)
        ]
        read_on = replace(segment, chunks=segment.chunks + len(parts), version=segment.version + 1)
        found = [each for part in parts for each in part]
        counted = totals.tally + Counter({FOUND_SUBJECTS: len(found), FOUND_SESSIONS: sum(each.sessions for each in found)})
        after = replace(totals, tally=counted)
        with transaction(self._items) as writes:
            item = self._items(mass_logout, key("SEGMENT", f"{segment.number:04d}"), expires_at=expiry(now))
            item.document = {"cursor": read_on.cursor, "last": read_on.last, "chunks": read_on.chunks, "is_read": read_on.is_read}
            item.version = read_on.version
            writes.save(item, self._is_version(segment.version))
            for work, part in zip(works, parts, strict=True):
                writes.save(self._items(mass_logout, _name("CHUNK", work), document=_written(part), expires_at=expiry(now)))
                writes.save(self._work_item(mass_logout, work, now))
            after = self._save_totals(writes, mass_logout, totals, after, now)
        return read_on, list(zip(works, parts, strict=True)), after

    def save(
        self, mass_logout: str, changes: Sequence[tuple[Work, Work]], all_totals: tuple[Totals, Totals], now: int
    ) -> tuple[list[Work], Totals]:
        """Store how far chunks have come, and what that changes in the totals; each as it was and as it is by now.

        A chunk that is settled is removed. One transaction takes less than a hundred.

        Raises:
            ConditionFailedError: somebody else has done so.

        """
        totals, totals_after = all_totals
        saved = [replace(after, version=before.version + 1) for before, after in changes]
        with transaction(self._items) as writes:
            for (before, _), after in zip(changes, saved, strict=True):
                is_same = self._is_version(before.version)
                if after.left:
                    writes.save(self._work_item(mass_logout, after, now), is_same)
                else:
                    writes.delete(self._work_item(mass_logout, before, now), is_same)
            if totals_after != totals:
                totals_after = self._save_totals(writes, mass_logout, totals, totals_after, now)
        return saved, totals_after

    def finish_reading(self, mass_logout: str, totals: Totals, now: int) -> Totals:
        """Note that everybody is found.

        Raises:
            ConditionFailedError: somebody else has changed the totals.

        """
        with transaction(self._items) as writes:
            return self._save_totals(writes, mass_logout, totals, replace(totals, is_read=True), now)

    def _save_totals(self, writes: Any, mass_logout: str, before: Totals, after: Totals, now: int) -> Totals:
        stored = replace(after, version=before.version + 1)
        item = self._items(mass_logout, TOTALS, document=dict(+stored.tally), is_read=stored.is_read, expires_at=expiry(now))
        item.version = stored.version
        writes.save(item, self._is_version(before.version))
        return stored

    def _is_version(self, version: int) -> Condition:
        same: Condition = self._items.version == version if version else self._items.pk.does_not_exist()
        return same

    def _work_item(self, mass_logout: str, work: Work, now: int) -> MassItem:
        document = {
            "size": work.size,
            "sent": work.sent,
            "left": list(work.left),
            "settled": dict(work.settled),
            "counted": dict(work.counted),
            "look_at": work.look_at,
            "wait": work.wait,
            "released_at": work.released_at,
        }
        return self._items(mass_logout, _name("WORK", work), document=document, version=work.version, expires_at=expiry(now))

    def _below(self, mass_logout: str, kind: str) -> Iterator[MassItem]:
        with storage():
            yield from self._items.query(mass_logout, self._items.sk.startswith(key(kind, "")), consistent_read=True)


def _name(kind: str, work: Work) -> str:
    return key(kind, f"{work.segment:04d}", f"{work.number:08d}")


def _segment(number: int, item: MassItem | None) -> Segment:
    return Segment(number) if item is None else Segment(number, **item.document, version=int(item.version))


def _work(item: MassItem) -> Work:
    _, segment, number = item.sk.split("#")
    stored = dict(item.document)
    for name in ("settled", "counted"):
        stored[name] = Counter(stored[name])
    stored["left"] = tuple(stored["left"])
    return Work(int(segment), int(number), **stored, version=int(item.version))


def _parts(entries: Iterable[Entry]) -> Iterable[list[Entry]]:
    """Yield chunks of entries that fit into an item each."""
    part: list[Entry] = []
    names: set[str] = set()
    octets = 0
    for entry in entries:
        size = _octets(entry, names)
        if part and (len(part) == CHUNK or octets + size > _MOST_OCTETS):
            yield part
            part, names, octets = [], set(), 0
            size = _octets(entry, names)
        part.append(entry)
        names.update(entry.sids)
        octets += size
    if part:
        yield part


def _octets(entry: Entry, names: Collection[str]) -> int:
    """Return how long an entry is in an item that has these clients' names already. A place has few digits."""
    listed = [entry.sub, entry.sid, [[_LAST_PLACE, number] for number in entry.sids.values()], entry.sessions]
    return len(json.dumps([listed, [name for name in entry.sids if name not in names]]))


def _written(entries: Sequence[Entry]) -> dict[str, Any]:
    """Write a client's name once."""
    places = {name: place for place, name in enumerate(dict.fromkeys(name for each in entries for name in each.sids))}
    listed = [
        [each.sub, each.sid, [[places[name], number] for name, number in each.sids.items()], each.sessions] for each in entries
    ]
    return {"clients": list(places), "entries": listed}
