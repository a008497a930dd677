"""Takes the turns of mass logouts: whose it is, whether its provider is still there, and what is said when all is over."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from backchannel.announcements.details import mass_logout_finished
from backchannel.aws.dynamodb import ConditionFailedError
from backchannel.aws.sqs import Queue
from backchannel.errors import NotFoundError
from backchannel.logouts.mass.audience import Audience
from backchannel.logouts.mass.chunks import Chunks
from backchannel.logouts.mass.messages import MassLogoutMessage
from backchannel.logouts.mass.progress import Standings, by_status
from backchannel.logouts.mass.reader import Reader
from backchannel.logouts.mass.records import RELEASED_SUBJECTS, MassLogout, Totals
from backchannel.logouts.mass.table import Held, MassLogouts, TakenTurn
from backchannel.logouts.mass.told import Told
from backchannel.logouts.mass.turn import Turn
from backchannel.providers.table import Provider, Providers
from backchannel.runtime.observability import logger
from backchannel.sessions.table import Sessions


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
    told: Told
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
        mass = taken.mass
        provider = self._provider(mass)
        if provider is None:
            self.finish(replace(mass, state="cancelled"), self.chunks.totals(mass.mass_logout))
            logger.warning("mass_logout.dropped")
            return True
        turn = Turn(
            self.mass_logouts,
            self.chunks,
            self.sessions,
            self.standings,
            Reader(self.sessions, self.chunks, self.told.untold_by(provider.recipients), self.now),
            Audience.of(self.providers, provider, mass.client_id, mass.reason),
            self.queue,
            self.ended_queue,
            self.finish,
            self.now,
            self.sleep,
            taken,
        )
        try:
            return turn.work()
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

    def _provider(self, mass: MassLogout) -> Provider | None:
        """Return the provider, None if it was removed; another one may have its name by now."""
        try:
            found = self.providers.get(mass.provider)
        except NotFoundError:
            return None
        return found if found.issuer == mass.issuer else None
