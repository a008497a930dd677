"""Finds whom a mass logout is about: in SessionsTable, segment by segment, or subject by subject of a list."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from backchannel.logouts.mass.chunks import CHUNK, Chunks, Segment
from backchannel.logouts.mass.records import Entry, MassLogout, entries, is_meant, of_subject
from backchannel.logouts.mass.told import ToBeTold
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions

SEGMENTS = 16
PAGE = 1_000
"""Items of SessionsTable that one call reads. Every RP session has two, or one without a ``sid``."""

SUBJECTS = 200
"""Listed subjects whose RP sessions are looked up at once."""

LONGEST_READ = 1_000
"""Milliseconds after which it is noted how far segments are read, however few logouts were found."""

_CONCURRENCY = 8


def segments_of(mass: MassLogout) -> int:
    """Return in how many segments a mass logout reads; a list is one."""
    return SEGMENTS if mass.subjects is None else 1


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads on."""

    sessions: Sessions
    chunks: Chunks
    untold: ToBeTold
    clock: Callable[[], int]

    def read(self, mass: MassLogout, segments: Sequence[Segment], now: int) -> list[tuple[Segment, Segment, list[Entry]]]:
        """Read on in some segments at once; return each as it was and as it is read then, and the logouts that were found."""
        todo = [segment for segment in segments if not segment.is_read][:_CONCURRENCY]
        read_on = self._read_table if mass.subjects is None else self._read_list
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            found = list(pool.map(lambda segment: read_on(mass, segment, now), todo))
        return [(before, after, entries) for before, (after, entries) in zip(todo, found, strict=True)]

    def _read_table(self, mass: MassLogout, segment: Segment, now: int) -> tuple[Segment, list[Entry]]:
        """Read on until there is a chunk of logouts: where they are few and far between, many pages hold one."""
        found: list[Entry] = []
        place = (segment.number, segments_of(mass))
        while len(found) < CHUNK and not segment.is_read:
            page = self.sessions.of_provider(mass.issuer, mass.client_id, place, after=segment.cursor, limit=PAGE, now=now)
            meant = self.untold([each for each in page.items if is_meant(each, mass.end)])
            more = entries(meant, mass.end, segment.last)
            last = next((each.sub for each in reversed(more) if each.sub), segment.last)
            segment = replace(segment, cursor=page.cursor, last=last, is_read=page.cursor is None)
            found += more
            if self.clock() >= now + LONGEST_READ:
                break
        return segment, found

    def _read_list(self, mass: MassLogout, segment: Segment, now: int) -> tuple[Segment, list[Entry]]:
        """Read on in the list. A subject without RP sessions is released, too: a late start may tell of one."""
        part, place = segment.cursor or (0, 0)
        listed = self.chunks.subjects(mass.mass_logout, part)
        if listed is None:
            return replace(segment, is_read=True), []
        subjects = listed[place : place + SUBJECTS]
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            found = list(pool.map(lambda sub: of_subject(sub, self.of(mass, sub, now)), subjects))
        is_through = place + SUBJECTS >= len(listed)
        return replace(segment, cursor=[part + 1, 0] if is_through else [part, place + SUBJECTS]), found

    def of(self, mass: MassLogout, sub: str, now: int) -> list[RpSession]:
        """Return the RP sessions of a subject that a mass logout is about; of very many, the first ones."""
        event = mass.end.of(sub)
        page = self.sessions.page(mass.issuer, event, client_id=mass.client_id, after=None, limit=PAGE, now=now)
        return self.untold([each for each in page.items if is_meant(each, mass.end)])
