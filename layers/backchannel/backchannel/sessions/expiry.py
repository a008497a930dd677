"""Sessions that expired: most providers tell nobody, so a scheduled pass ends them for the clients that want to know."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import batched

from backchannel.errors import NotFoundError
from backchannel.providers.cache import cached
from backchannel.providers.table import Provider, Providers
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.intake import Intake
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions

MILLISECONDS_PER_HOUR = 3_600_000
PARTS = 16
"""Segments in which the table is scanned."""

_BATCH = 100


@dataclass(frozen=True, slots=True)
class ExpiryPass:
    """Ends what has expired."""

    providers: Providers
    sessions: Sessions
    intake: Intake

    def run(self, now: int, time_is_short: Callable[[], bool]) -> int:
        """Queue the end of every expired RP session whose client wants to hear of it, and return how many were queued.

        ``time_is_short`` says when to leave the rest to the next pass. If the next pass queues an end again, because its fan-out
        is still to come, it is the same logout. Each pass begins with another part of the table: if a pass is too short for the
        whole table, every part still has its turn.
        """
        first = now // MILLISECONDS_PER_HOUR
        count = 0
        for part in range(first, first + PARTS):
            for batch in batched(self._ends(part % PARTS, now, time_is_short), _BATCH, strict=False):
                by_provider: dict[Provider, list[Ended]] = {}
                for provider, end in batch:
                    by_provider.setdefault(provider, []).append(end)
                for provider, ends in by_provider.items():
                    count += self.intake.take(provider, ends, now).ended
        return count

    def _ends(self, part: int, now: int, time_is_short: Callable[[], bool]) -> Iterator[tuple[Provider, Ended]]:
        provider_of = cached(self.providers.by_issuer)
        client_of = cached(self.providers.get_client)
        for issuer, session in self.sessions.expired(now, part, PARTS, time_is_short):
            try:
                provider = provider_of(issuer)
                wants_to_hear = Reason.EXPIRED in client_of(provider.provider, session.client_id).logout_reasons
            except NotFoundError:
                continue
            if wants_to_hear:
                yield provider, _end(session)


def _end(session: RpSession) -> Ended:
    """Return an end that covers this RP session, and none that its client starts later."""
    event_id = f"{Reason.EXPIRED}:{session.expires_at}"
    if session.sid is not None:
        return SessionEnded(session.sid, session.started_at, event_id, session.client_id, Reason.EXPIRED)
    return SubjectSessionsEnded(session.sub, session.started_at, event_id, session.client_id, Reason.EXPIRED)
