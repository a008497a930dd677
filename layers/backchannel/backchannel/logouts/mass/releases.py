"""The release of a mass logout's logouts, at its pace, and the reading of more where none is left to be released."""

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import batched, islice

from backchannel.aws.sqs import Queue
from backchannel.logouts.mass.audience import Audience
from backchannel.logouts.mass.chunks import Segment
from backchannel.logouts.mass.ledger import Ledger
from backchannel.logouts.mass.pacing import Pace, after_release, ready_at
from backchannel.logouts.mass.progress import SOON
from backchannel.logouts.mass.reader import Reader
from backchannel.logouts.mass.records import RELEASED_SESSIONS, RELEASED_SUBJECTS, Entry, MassLogout, Work
from backchannel.sessions.events import logout_id
from backchannel.sessions.messages import EndMessage

TICK = 250
"""Milliseconds between two releases, at the least: each is noted in the table."""

CHUNKS_AT_ONCE = 20
"""Chunks of which logouts are released at once, at the most: they are noted in one transaction."""

LOGOUTS_A_SECOND = 500
"""How many one run releases with the memory that the template gives it, about: each is a message to be made and sent."""

_CONCURRENCY, _BATCH = 8, 10


@dataclass(slots=True)
class Releases:
    """What a turn knows of them; ``released_at`` is when it last released anything."""

    ledger: Ledger
    reader: Reader
    audience: Audience
    queue: Queue
    pace: Pace
    segments: list[Segment]
    released_at: int = field(default=0)

    def due(self, mass: MassLogout) -> float:
        """Return when there is something to release, or to read; infinity if there is nothing."""
        if mass.state != "running":
            return math.inf
        work = next(self.ledger.waiting(), None)
        if work is None:
            return math.inf if self.ledger.totals.is_read else 0
        tokens = self.audience.tokens(self.ledger.entries(work)[work.sent])
        return max(ready_at(self.pace, tokens), self.released_at + TICK)

    def go_on(self, mass: MassLogout, now: int) -> None:
        """Release what is due, or find more. Sent first, then noted: what is not noted is sent once more."""
        if next(self.ledger.waiting(), None) is None:
            self._read(mass, now)
            return
        due: list[Entry] = []
        changes: list[tuple[Work, Work]] = []
        pace = self.pace
        for work in islice(self.ledger.waiting(), CHUNKS_AT_ONCE):
            pace, of_chunk = self._due(mass, work, pace, now)
            if of_chunk:
                due += of_chunk
                changes.append((work, _released(work, len(of_chunk), now)))
            if work.sent + len(of_chunk) < work.size:
                break
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            messages = [_message(mass, entry).outgoing() for entry in due]
            list(pool.map(self.queue.send, batched(messages, _BATCH, strict=False)))
        self.pace, self.released_at = pace, now
        counted = Counter({RELEASED_SUBJECTS: len(due), RELEASED_SESSIONS: sum(each.sessions for each in due)})
        self.ledger.save(changes, counted, now)

    def _due(self, mass: MassLogout, work: Work, pace: Pace, now: int) -> tuple[Pace, list[Entry]]:
        """Return the logouts of a chunk that are due, and the pace after them."""
        due: list[Entry] = []
        for entry in self.ledger.entries(work)[work.sent :]:
            tokens = self.audience.tokens(entry)
            if ready_at(pace, tokens) > now:
                break
            pace = after_release(pace, tokens, now, mass.rate, mass.client_rate)
            due.append(entry)
        return pace, due

    def _read(self, mass: MassLogout, now: int) -> None:
        for before, after, found in self.reader.read(mass, self.segments, now):
            self.segments[self.segments.index(before)] = self.ledger.add(after, found, now)
        if all(each.is_read for each in self.segments):
            self.ledger.finish_reading(now)


def _released(work: Work, number: int, now: int) -> Work:
    look_at = min(work.look_at, now + SOON) if work.is_under_way else now + SOON
    return replace(work, sent=work.sent + number, look_at=look_at, released_at=now)


def _message(mass: MassLogout, entry: Entry) -> EndMessage:
    """Return the message of a logout; all copies of it are one run of its fan-out."""
    event = entry.end(mass.end)
    name = logout_id(mass.issuer, event)
    return EndMessage.of(
        event, provider=mass.provider, issuer=mass.issuer, logout_id=name, fanout_id=name, mass_logout=mass.mass_logout
    )
