"""What a mass logout would do, and how long it would take: counted where there is time for it, else estimated from a part."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched

from backchannel.aws.dynamodb import Page
from backchannel.errors import OutOfTime
from backchannel.logouts.mass.audience import Audience
from backchannel.logouts.mass.reader import PAGE, SEGMENTS
from backchannel.logouts.mass.records import Entry, Scope, entries, is_meant, of_subject
from backchannel.logouts.mass.releases import LOGOUTS_A_SECOND
from backchannel.logouts.mass.told import ToBeTold
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
    """Whom a mass logout would reach.

    ``tokens`` by client, with those who are known there but are sent none; ``released`` is what counts for the rate. ``reading``
    is in seconds. ``share`` of all is what was read of them.
    """

    subjects: float = 0
    sessions: float = 0
    without_sid: float = 0
    tokens: Counter[str] = field(default_factory=Counter)
    released: float = 0
    reading: float = 0
    share: float = 1.0

    def count(self, sessions: Iterable[RpSession]) -> None:
        """Count RP sessions."""
        for each in sessions:
            self.sessions += 1
            self.without_sid += each.sid is None

    def add(self, entry: Entry, tokens: dict[str, int]) -> None:
        """Count a logout."""
        self.subjects += 1
        self.released += max(1, sum(tokens.values()))
        self.tokens.update({**dict.fromkeys(entry.sids, 0), **tokens})

    def extrapolated(self) -> "Reach":
        """Return what it would be if all were like the part that was read."""
        if self.share == 1:
            return self
        tokens = Counter({client: round(number / self.share) for client, number in self.tokens.items()})
        subjects, sessions, without_sid, released, reading = (
            each / self.share for each in (self.subjects, self.sessions, self.without_sid, self.released, self.reading)
        )
        return Reach(subjects, sessions, without_sid, tokens, released, reading, self.share)

    def seconds(self, rate: int, client_rate: int) -> float:
        """Return how long the release takes: what takes longest of the tokens, a client's tokens, the logouts and the reading."""
        of_client = max(self.tokens.values(), default=0) / client_rate
        return max(self.released / rate, of_client, self.subjects / LOGOUTS_A_SECOND, self.reading)


@dataclass(frozen=True, slots=True)
class Estimator:
    """Counts; ``now`` is the time of the RP sessions that are read, in milliseconds, ``clock`` counts seconds."""

    sessions: Sessions
    untold: ToBeTold
    audience: Audience
    now: int
    clock: Callable[[], float] = time.monotonic

    def count(self, scope: Scope, end: MassEnd, *, is_long: Callable[[], bool], is_too_long: Callable[[], bool]) -> Reach:
        """Count whom a mass logout would reach. When it ``is_long``, only samples are read; until it ``is_too_long``.

        Raises:
            OutOfTime: there was no time for one sample.

        """
        began = self.clock()
        if scope.subjects is not None:
            reach = self._listed(scope, scope.subjects, end, is_too_long)
        else:
            reach = Reach()
            if self._read(reach, (scope, end), SEGMENTS, range(SEGMENTS), is_long) < SEGMENTS:
                began, reach = self.clock(), Reach()
                order = (number * _STRIDE % SAMPLES for number in range(SAMPLES))
                reach.share = self._read(reach, (scope, end), SAMPLES, order, is_too_long) / SAMPLES
        if reach.share == 0:
            raise OutOfTime("there was no time to read even one sample of the RP sessions")
        reach.reading = self.clock() - began
        return reach

    def _listed(self, scope: Scope, subjects: tuple[str, ...], end: MassEnd, is_too_long: Callable[[], bool]) -> Reach:
        reach, done = Reach(), 0
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for some in batched(subjects, 8 * _CONCURRENCY, strict=False):
                for sub, found in zip(some, pool.map(lambda sub: self._of(scope, sub, end), some), strict=True):
                    reach.count(found)
                    self._add(reach, of_subject(sub, found))
                done += len(some)
                if is_too_long():
                    break
        reach.share = done / len(subjects)
        return reach

    def _of(self, scope: Scope, sub: str, end: MassEnd) -> list[RpSession]:
        page = self.sessions.page(scope.issuer, end.of(sub), client_id=scope.client_id, after=None, limit=PAGE, now=self.now)
        return self._meant(page, end)

    def _meant[C](self, page: Page[RpSession, C], end: MassEnd) -> list[RpSession]:
        return self.untold([each for each in page.items if is_meant(each, end)])

    def _add(self, reach: Reach, entry: Entry) -> None:
        reach.add(entry, self.audience.tokens(entry))

    def _read(
        self, reach: Reach, about: tuple[Scope, MassEnd], in_all: int, order: Iterable[int], is_over: Callable[[], bool]
    ) -> int:
        """Read segments to their ends; return how many. What is read of others is not counted."""
        done, (_, end) = 0, about
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for some in batched(order, _CONCURRENCY, strict=False):
                read = list(pool.map(lambda number: self._segment(about, (number, in_all), is_over), some))
                for pages in read:
                    if pages is None:
                        continue
                    last: str | None = None
                    for page in pages:
                        reach.count(page)
                        for entry in entries(page, end, last):
                            self._add(reach, entry)
                            last = entry.sub or last
                    done += 1
                if is_over():
                    break
        return done

    def _segment(
        self, about: tuple[Scope, MassEnd], segment: tuple[int, int], is_over: Callable[[], bool]
    ) -> list[list[RpSession]] | None:
        """Return the RP sessions of a segment that are meant, by pages; None if there was no time for all."""
        scope, end = about
        pages: list[list[RpSession]] = []
        after: dict[str, str] | None = None
        while True:
            page = self.sessions.of_provider(scope.issuer, scope.client_id, segment, after=after, limit=PAGE, now=self.now)
            pages.append(self._meant(page, end))
            after = page.cursor
            if after is None:
                return pages
            if is_over():
                return None
