"""What a mass logout would do, and how long it would take: counted where there is time for it, else estimated from a part."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched

from backchannel.logouts.mass.reader import PAGE, SEGMENTS
from backchannel.logouts.mass.records import Scope, entries, is_meant, of_subject
from backchannel.sessions.events import MassEnd
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions

SAMPLES = 4_096
"""Segments of a large table: whole ones are read, as many as there is time for, and stand for all."""

_STRIDE = 1_597
"""From one sample to the next: odd, so that all have their turn."""

_CONCURRENCY = 8


@dataclass(slots=True)
class Reach:
    """Whom a mass logout would reach; ``tokens`` by client, ``share`` of all is what was read of them."""

    subjects: float = 0
    sessions: float = 0
    without_sid: float = 0
    tokens: Counter[str] = field(default_factory=Counter)
    released: float = 0
    share: float = 1.0

    def add(self, found: Iterable[RpSession], end: MassEnd, after: str | None = None) -> str | None:
        """Count RP sessions, of which the first may be those of the subject that was the last before; return the last one."""
        meant = [session for session in found if is_meant(session, end)]
        self.sessions += len(meant)
        self.without_sid += sum(each.sid is None for each in meant)
        for entry in entries(meant, end, after):
            self.subjects += 1
            self.released += max(1, len(entry.clients))
            self.tokens.update(entry.clients)
            after = entry.sub or after
        return after

    def extrapolated(self) -> "Reach":
        """Return what it would be if all were like the part that was read."""
        if not 0 < self.share < 1:
            return self
        tokens = Counter({client: round(number / self.share) for client, number in self.tokens.items()})
        subjects, sessions, without_sid, released = (
            each / self.share for each in (self.subjects, self.sessions, self.without_sid, self.released)
        )
        return Reach(subjects, sessions, without_sid, tokens, released, self.share)

    def seconds(self, rate: int, client_rate: int) -> float:
        """Return how long the release takes: as long as it takes in all, or for the client with the most tokens."""
        return max(self.released / rate, max(self.tokens.values(), default=0) / client_rate)


@dataclass(frozen=True, slots=True)
class Estimator:
    """Counts; ``now`` is the time of the RP sessions that are read, in milliseconds."""

    sessions: Sessions
    now: int

    def count(self, scope: Scope, end: MassEnd, *, is_long: Callable[[], bool], is_too_long: Callable[[], bool]) -> Reach:
        """Count whom a mass logout would reach. When it ``is_long``, only samples are read; until it ``is_too_long``."""
        if scope.subjects is not None:
            return self._listed(scope, scope.subjects, end, is_too_long)
        reach = Reach()
        if self._read(reach, (scope, end), SEGMENTS, range(SEGMENTS), is_long) == SEGMENTS:
            return reach
        reach = Reach()
        order = (number * _STRIDE % SAMPLES for number in range(SAMPLES))
        reach.share = self._read(reach, (scope, end), SAMPLES, order, is_too_long) / SAMPLES
        return reach

    def _listed(self, scope: Scope, subjects: tuple[str, ...], end: MassEnd, is_too_long: Callable[[], bool]) -> Reach:
        reach, done = Reach(), 0
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for some in batched(subjects, 8 * _CONCURRENCY, strict=False):
                for sub, found in zip(some, pool.map(lambda sub: self._of(scope, sub, end), some), strict=True):
                    reach.add(found, end)
                    if of_subject(sub, found).clients == ():
                        reach.subjects += 1
                        reach.released += 1
                done += len(some)
                if is_too_long():
                    break
        reach.share = done / len(subjects)
        return reach

    def _of(self, scope: Scope, sub: str, end: MassEnd) -> list[RpSession]:
        page = self.sessions.page(scope.issuer, end.of(sub), client_id=scope.client_id, after=None, limit=PAGE, now=self.now)
        return [each for each in page.items if is_meant(each, end)]

    def _read(
        self, reach: Reach, about: tuple[Scope, MassEnd], in_all: int, order: Iterable[int], is_over: Callable[[], bool]
    ) -> int:
        """Read segments to their ends; return how many. What is read of others is not counted."""
        done, (scope, end) = 0, about
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for some in batched(order, _CONCURRENCY, strict=False):
                read = list(pool.map(lambda number: self._segment(scope, (number, in_all), is_over), some))
                for pages in read:
                    if pages is None:
                        continue
                    last: str | None = None
                    for page in pages:
                        last = reach.add(page, end, last)
                    done += 1
                if is_over():
                    break
        return done

    def _segment(self, scope: Scope, segment: tuple[int, int], is_over: Callable[[], bool]) -> list[list[RpSession]] | None:
        """Return the RP sessions of a segment by pages, None if there was no time for all."""
        pages: list[list[RpSession]] = []
        after: dict[str, str] | None = None
        while True:
            page = self.sessions.of_provider(scope.issuer, scope.client_id, segment, after=after, limit=PAGE, now=self.now)
            pages.append(page.items)
            after = page.cursor
            if after is None:
                return pages
            if is_over():
                return None
