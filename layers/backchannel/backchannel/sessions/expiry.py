"""Sessions that ended by themselves: most providers tell nobody, so a scheduled pass tells the clients that want to know."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import batched

from backchannel.errors import NotFoundError
from backchannel.providers.cache import cached
from backchannel.providers.table import Provider, Providers
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.intake import Intake
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions

REASON = "expired"
MILLISECONDS_PER_HOUR = 3_600_000
PARTS = 16
"""Segments in which the table is scanned."""

_BATCH = 100


@dataclass(frozen=True, slots=True)
class ExpiryPass:
    """Ends what has expired; ``time_is_short`` says when to leave the rest to the next pass."""

    providers: Providers
    sessions: Sessions
    intake: Intake

    def run(self, now: int, time_is_short: Callable[[], bool]) -> int:
        """Queue the end of every expired RP session whose client wants to hear of it, and return how many were queued.

        An end that is queued again by the next pass, because its fan-out has not come yet, is the same logout. Each pass
        begins with another part of the table, so that one that is too large for a pass has its turn with every part.
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
                wants_to_hear = client_of(provider.provider, session.client_id).logout_on_expiry
            except NotFoundError:
                continue
            if wants_to_hear:
                yield provider, _end(session)


def _end(session: RpSession) -> Ended:
    """Return the end of this RP session alone: not of a session that its client began later."""
    event_id = f"{REASON}:{session.expires_at}"
    if session.sid is not None:
        return SessionEnded(session.sid, session.started_at, event_id, session.client_id, REASON)
    return SubjectSessionsEnded(session.sub, session.started_at, event_id, session.client_id, REASON)
