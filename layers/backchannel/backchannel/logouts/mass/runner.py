"""One turn of the work on a mass logout: some seconds of reading, releasing and looking, then the next turn's message.

It can be killed between any two calls. What it was about is in the table then: its message comes again, or its successor's, and
goes on. Two that work at the same time disturb each other, but lose nothing: each change names the version that it was made of.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from backchannel.announcements.details import mass_logout_finished
from backchannel.aws.dynamodb import ConditionFailedError
from backchannel.aws.sqs import Queue
from backchannel.errors import NotFoundError
from backchannel.logouts.mass.chunks import Chunks, Segment
from backchannel.logouts.mass.messages import MassLogoutMessage
from backchannel.logouts.mass.pacing import Pace, after_release, ready_at
from backchannel.logouts.mass.progress import SOON, Standings, by_status
from backchannel.logouts.mass.reader import Reader, segments_of
from backchannel.logouts.mass.records import RELEASED_SESSIONS, RELEASED_SUBJECTS, Entry, MassLogout, Totals, Work
from backchannel.logouts.mass.table import Held, MassLogouts, TakenTurn
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger
from backchannel.sessions.events import logout_id
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions

SLICE = 20_000
"""Milliseconds of one turn."""

CONTROL = 1_000
"""Milliseconds after which it asks whether to pause, to end, or to go at another rate."""

PATIENCE = 2_000
"""The longest that a turn sleeps before something is due; what is due later is left to the next turn."""

LONGEST_DELAY = 120_000
LOOKS_APART = 5_000
"""Milliseconds between two looks while there is something to release: a look must not hold the release up."""

RELEASE = 50
"""Logouts that are released at once, at the most."""

TICK = 250
"""Milliseconds between two releases, at the least: each is noted in the table."""


@dataclass(frozen=True, slots=True)
class MassRunner:
    """Works on mass logouts; ``now`` is in milliseconds since the epoch, ``sleep`` takes seconds.

    ``events_out`` is told when one is finished, None without an event bus.
    """

    mass_logouts: MassLogouts
    chunks: Chunks
    sessions: Sessions
    providers: Providers
    standings: Standings
    queue: Queue
    ended_queue: Queue
    events_out: Queue | None = None
    now: Callable[[], int] = lambda: round(time.time() * 1000)
    sleep: Callable[[float], None] = time.sleep

    def run(self, message: MassLogoutMessage) -> Held | bool:
        """Work for a turn. False if somebody else has taken it; ``Held`` if somebody works on the mass logout now.

        Raises:
            InternalFailure: the same message is to come again.

        """
        taken = self.mass_logouts.take(message.mass_logout, message.turn, self.now())
        if not isinstance(taken, TakenTurn):
            return taken or True
        logger.append_keys(provider=taken.mass.provider)
        if not self._has_provider(taken.mass):
            self.finish(replace(taken.mass, state="cancelled"), self.chunks.totals(taken.mass.mass_logout))
            logger.warning("mass_logout.dropped")
            return True
        try:
            return _Turn(self, taken).work()
        except ConditionFailedError:
            logger.warning("mass_logout.lease_lost")
            return False

    def finish(self, mass: MassLogout, totals: Totals) -> None:
        """Announce that a mass logout is over, then note it: whoever dies in between announces it again."""
        now = self.now()
        state: Literal["finished", "cancelled"] = "cancelled" if mass.state == "cancelled" else "finished"
        if self.events_out is not None:
            announcement = mass_logout_finished(
                mass.mass_logout,
                provider=mass.provider,
                issuer=mass.issuer,
                client_id=mass.client_id,
                reason=mass.reason,
                status=state,
                subjects=totals.tally[RELEASED_SUBJECTS],
                counts=by_status(totals.tally),
                started_at=mass.created_at,
                finished_at=now,
            )
            self.events_out.send([announcement.outgoing()])
        self.mass_logouts.finish(mass, now, state)

    def _has_provider(self, mass: MassLogout) -> bool:
        try:
            return self.providers.get(mass.provider).issuer == mass.issuer
        except NotFoundError:
            return False


@dataclass(slots=True)
class _Turn:
    """What a turn knows: the table is written before this is."""

    using: MassRunner
    taken: TakenTurn
    pace: Pace = field(init=False)
    totals: Totals = field(init=False)
    segments: list[Segment] = field(init=False)
    works: dict[tuple[int, int], Work] = field(init=False)
    began: int = field(init=False)
    renewed: int = field(init=False)
    released: int = 0
    looked: int = 0
    known: dict[tuple[int, int], list[Entry]] = field(default_factory=dict)

    @property
    def mass(self) -> MassLogout:
        return self.taken.mass

    def work(self) -> bool:
        """Work until the turn is over or nothing is due; False if somebody else works on the mass logout by now."""
        using, chunks, name = self.using, self.using.chunks, self.mass.mass_logout
        self.began = self.renewed = using.now()
        self.pace = self.mass.pace
        self.totals = chunks.totals(name)
        if self.totals.version == 0 and self.mass.subjects is None:
            using.sessions.end_all(self.mass.issuer, self.mass.end, self.began)
        self.segments = chunks.segments(name, segments_of(self.mass))
        self.works = {(each.segment, each.number): each for each in chunks.work(name)}
        self.began = using.now()  # a turn is not over before it has done anything, however long that took
        due: float = self.began
        while due <= (now := using.now()) + PATIENCE and now < self.began + SLICE:
            using.sleep(min(max(0, due - now), CONTROL) / 1000)
            if not self._renew():
                return False
            due = self._step()
        return self._end_turn(due)

    def _renew(self) -> bool:
        """Keep the turn, and hear what the operator wants by now; False if somebody else works on the mass logout."""
        now = self.using.now()
        if now < self.renewed + CONTROL:
            return True
        renewed = self.using.mass_logouts.renew(self.taken, self.pace, now)
        if renewed is None:
            return False
        self.taken, self.renewed = renewed, now
        return True

    def _step(self) -> float:
        """Do one thing that is due; return when the next one is, infinity if there is none."""
        now = self.using.now()
        to_release, to_look = self._release_due(), self._look_due()
        if to_release < math.inf:
            to_look = max(to_look, self.looked + LOOKS_APART)
        if to_look <= now:
            self._look(now)
        elif to_release <= now:
            self._release(now)
        else:
            return min(to_release, to_look)
        return now

    # --- releasing ----------------------------------------------------------------------------------------------------

    def _release_due(self) -> float:
        if self.mass.state != "running":
            return math.inf
        work = self._to_release()
        if work is not None:
            at = ready_at(self.pace, self._entries(work)[work.sent].clients)
            return max(at, self.released + TICK)
        return math.inf if self.totals.is_read else 0

    def _to_release(self) -> Work | None:
        return next((self.works[place] for place in sorted(self.works) if self.works[place].sent < self.works[place].size), None)

    def _release(self, now: int) -> None:
        """Release what is due of one chunk, or find more. Sent first, then noted: whoever is not noted is sent once more."""
        work = self._to_release()
        if work is None:
            self._read(now)
            return
        due: list[Entry] = []
        mass, pace = self.mass, self.pace
        for entry in self._entries(work)[work.sent :][:RELEASE]:
            if ready_at(pace, entry.clients) > now:
                break
            pace = after_release(pace, entry.clients, now, mass.rate, mass.client_rate)
            due.append(entry)
        self.using.ended_queue.send(self._message(entry).outgoing() for entry in due)
        self.pace, self.released = pace, now
        after = replace(work, sent=work.sent + len(due), look_at=now + SOON)
        sessions = sum(each.sessions for each in due)
        counted = self.totals.tally + Counter({RELEASED_SUBJECTS: len(due), RELEASED_SESSIONS: sessions})
        self._save(work, after, replace(self.totals, tally=counted), now)

    def _read(self, now: int) -> None:
        using, name = self.using, self.mass.mass_logout
        for before, after, found in Reader(using.sessions, using.chunks).read(self.mass, self.segments, now):
            place = self.segments.index(before)
            self.segments[place], works, self.totals = using.chunks.add(name, after, found, self.totals, now)
            self.works |= {(each.segment, each.number): each for each in works}
        if all(each.is_read for each in self.segments):
            self.totals = using.chunks.finish_reading(name, self.totals, now)

    def _message(self, entry: Entry) -> EndMessage:
        """Return the message of a logout; all copies of it are one run of its fan-out."""
        mass = self.mass
        event = entry.end(mass.end)
        name = logout_id(mass.issuer, event)
        return EndMessage.of(
            event, provider=mass.provider, issuer=mass.issuer, logout_id=name, fanout_id=name, mass_logout=mass.mass_logout
        )

    # --- looking ------------------------------------------------------------------------------------------------------

    def _look_due(self) -> float:
        return min((each.look_at for each in self.works.values() if each.under_way), default=math.inf)

    def _look(self, now: int) -> None:
        """Look at the chunk whose turn it is."""
        work = min((each for each in self.works.values() if each.under_way), key=lambda each: each.look_at)
        after = self.using.standings.look(self.mass, work, self._entries(work), self.totals.tally, now)
        self.looked = self.using.now()
        counted = self.totals.tally.copy()
        counted.update(after.counted)
        counted.subtract(work.counted)
        self._save(work, after, replace(self.totals, tally=counted), now)

    def _save(self, work: Work, after: Work, totals: Totals, now: int) -> None:
        place = (work.segment, work.number)
        after, self.totals = self.using.chunks.save(self.mass.mass_logout, (work, after), (self.totals, totals), now)
        if after.left:
            self.works[place] = after
        else:
            del self.works[place]
            del self.known[place]

    def _entries(self, work: Work) -> list[Entry]:
        place = (work.segment, work.number)
        if place not in self.known:
            self.known[place] = self.using.chunks.entries(self.mass.mass_logout, work)
        return self.known[place]

    # --- the end of a turn --------------------------------------------------------------------------------------------

    def _end_turn(self, due: float) -> bool:
        using, now = self.using, self.using.now()
        logger.info("mass_logout.turn", turn=self.mass.turn, state=self.mass.state, ms=now - self.began, chunks=len(self.works))
        if self._is_complete():
            self.renewed = 0
            if not self._renew():  # it may have been cancelled meanwhile
                return False
            using.finish(self.mass, self.totals)
            return True
        mass = self.mass
        if due == math.inf and using.mass_logouts.rest(self.taken, self.pace):
            return True  # paused, and all that was released is settled
        delay = 0 if due == math.inf else min(max(0, int(due) - now), LONGEST_DELAY) // 1000 * 1000
        using.queue.send([MassLogoutMessage(mass.mass_logout, mass.turn + 1).outgoing(delay)])
        return using.mass_logouts.give_back(self.taken, self.pace)

    def _is_complete(self) -> bool:
        if self.mass.state == "cancelled":
            return not any(each.under_way for each in self.works.values())
        return self.totals.is_read and not self.works
