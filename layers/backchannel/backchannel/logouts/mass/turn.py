"""One turn of the work on a mass logout: some seconds of reading, releasing and looking, then the next turn's message.

It can be killed between any two calls. What it was about is in the table then: its message comes again, or its successor's, and
goes on. Two that work at the same time disturb each other, but lose nothing: each change names the version that it was made of.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from backchannel.aws.sqs import Queue
from backchannel.logouts.mass.audience import Audience
from backchannel.logouts.mass.chunks import Chunks
from backchannel.logouts.mass.ledger import Ledger
from backchannel.logouts.mass.messages import MassLogoutMessage
from backchannel.logouts.mass.pacing import at_rates
from backchannel.logouts.mass.progress import LOST_AFTER, Standings
from backchannel.logouts.mass.reader import Reader, segments_of
from backchannel.logouts.mass.records import LOST, MassLogout, Totals
from backchannel.logouts.mass.releases import Releases
from backchannel.logouts.mass.table import MassLogouts, TakenTurn
from backchannel.runtime.observability import logger
from backchannel.sessions.table import Sessions

SLICE = 20_000
"""Milliseconds of one turn."""

CONTROL = 1_000
"""Milliseconds after which it asks whether to pause, to end, or to go at another rate."""

PATIENCE = 2_000
"""The longest that a turn sleeps before something is due; what is due later is left to the next turn."""

LONGEST_DELAY = 120_000

LOOKS_APART = 5_000
"""Milliseconds between two looks at chunks where each holds a release up; in between, they do not."""


@dataclass(slots=True)
class Turn:
    """A turn that is ours; ``now`` is in milliseconds since the epoch, ``sleep`` takes seconds."""

    mass_logouts: MassLogouts
    chunks: Chunks
    sessions: Sessions
    standings: Standings
    reader: Reader
    audience: Audience
    queue: Queue
    ended_queue: Queue
    finish: Callable[[MassLogout, Totals], None]
    now: Callable[[], int]
    sleep: Callable[[float], None]
    taken: TakenTurn
    ledger: Ledger = field(init=False)
    releases: Releases = field(init=False)
    began: int = field(init=False)
    renewed: int = field(init=False)
    looked: int = 0

    @property
    def mass(self) -> MassLogout:
        """The mass logout as it was when the turn was kept last."""
        return self.taken.mass

    def work(self) -> bool:
        """Work until the turn is over or nothing is due; False if somebody else works on the mass logout by now."""
        self.renewed = self.now()
        if not self._load():
            return False
        self.began = self.now()  # a turn is not over before it has done anything, however long it took to load
        due: float = self.began
        while due <= (now := self.now()) + PATIENCE and now < self.began + SLICE:
            self.sleep(min(max(0, due - now), CONTROL) / 1000)
            if not self._renew():
                return False
            due = self._step()
        return self._end(due)

    def _load(self) -> bool:
        """Read how far it has come, and keep the turn meanwhile: there may be very many chunks."""
        name = self.mass.mass_logout
        self.ledger = Ledger(self.chunks, name, self.chunks.totals(name))
        if self.ledger.totals.version == 0 and self.mass.subjects is None:
            self.sessions.end_all(self.mass.issuer, self.mass.end, self.renewed)
        segments = self.chunks.segments(name, segments_of(self.mass))
        self.releases = Releases(self.ledger, self.reader, self.audience, self.ended_queue, self.mass.pace, segments)
        self._keep_to_rates(self.renewed)
        for work in self.chunks.work(name):
            self.ledger.know(work)
            if not self._renew():
                return False
        return True

    def _renew(self) -> bool:
        """Keep the turn, and hear what the operator wants by now; False if somebody else works on the mass logout."""
        now = self.now()
        if now < self.renewed + CONTROL:
            return True
        renewed = self.mass_logouts.renew(self.taken, self.releases.pace, now)
        if renewed is None:
            return False
        self.taken, self.renewed = renewed, now
        self._keep_to_rates(now)
        return True

    def _keep_to_rates(self, now: int) -> None:
        self.releases.pace = at_rates(self.releases.pace, now, self.mass.rate, self.mass.client_rate)

    def _step(self) -> float:
        """Do one thing that is due; return when the next one is, infinity if there is none."""
        now = self.now()
        to_release, to_look = self.releases.due(self.mass), self.ledger.look_at()
        if to_look <= now and (to_release > now or self.looked + LOOKS_APART <= now):
            self._look(now)
        elif to_release <= now:
            self.releases.go_on(self.mass, now)
        else:
            return min(to_release, to_look)
        return now

    def _look(self, now: int) -> None:
        """Look at the chunk whose turn it is."""
        work, audience = self.ledger.to_look_at(), self.audience
        known = self.ledger.totals.tally
        after = self.standings.look(
            self.mass, (work, self.ledger.entries(work)), known, now, lambda client: audience.waits(client, now - LOST_AFTER)
        )
        self.looked = self.now()
        more = Counter(after.counted)
        more.subtract(work.counted)
        self.ledger.save([(work, after)], more, now)
        if more[LOST]:
            logger.warning("mass_logout.lost", logouts=more[LOST])

    def _end(self, due: float) -> bool:
        now, mass, pace = self.now(), self.mass, self.releases.pace
        logger.info("mass_logout.turn", turn=mass.turn, state=mass.state, ms=now - self.began, chunks=len(self.ledger))
        if self._is_complete():
            self.renewed = 0
            if not self._renew():  # it may have been cancelled meanwhile
                return False
            self.finish(self.mass, self.ledger.totals)
            return True
        if due == math.inf and self.mass_logouts.rest(self.taken, pace):
            return True  # paused, and all that was released is settled
        delay = 0 if due == math.inf else min(max(0, int(due) - now), LONGEST_DELAY) // 1000 * 1000
        self.queue.send([MassLogoutMessage(mass.mass_logout, mass.turn + 1).outgoing(delay)])
        return self.mass_logouts.give_back(self.taken, pace)

    def _is_complete(self) -> bool:
        if self.mass.state == "cancelled":
            return self.ledger.look_at() == math.inf
        return self.ledger.totals.is_read and not len(self.ledger)
