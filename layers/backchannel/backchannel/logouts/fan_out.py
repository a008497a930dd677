"""An ended session carried out: tombstone, look, claim, record, queue - page by page, from wherever an earlier try came to."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import compress

from backchannel.aws.sqs import Outgoing, Queue
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.table import Deliveries
from backchannel.logouts.recipients import planned_deliveries
from backchannel.logouts.table import Logouts
from backchannel.providers.table import Providers
from backchannel.sessions.events import SessionEnded
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.rp_sessions import RpSession, is_covered
from backchannel.sessions.table import Claim, Sessions

PAGE = 100
SWEEP_DELAY = 30
"""Seconds: longer than a start can take from its write to its look."""

_CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class Ending:
    """Carries out ended sessions; ``time_is_short`` says when to stop between two pages, ``now`` is in milliseconds."""

    providers: Providers
    sessions: Sessions
    logouts: Logouts
    deliveries: Deliveries
    session_ended_queue: Queue
    delivery_queue: Queue

    def carry_out(self, message: EndMessage, *, now: Callable[[], int], time_is_short: Callable[[], bool]) -> bool:
        """Give every RP session of the ended session its delivery; False when time ran short and more is to be done.

        May be repeated at any point: claims, records and the cursor show what has been done.

        Raises:
            OurFault: not finished; to be repeated.

        """
        issuer = self.providers.get(message.provider).issuer
        event = message.event
        is_main_run = message.only_client_id is None and not message.sweep
        if is_main_run:
            self.sessions.end(issuer, event, now())
        self.logouts.open(message, now())
        cursor = self.logouts.cursor(message.logout_id, message.fanout_id)
        while True:
            client_id = message.only_client_id or message.client_id
            page = self.sessions.page(issuer, event, client_id=client_id, after=cursor, limit=PAGE, now=now())
            self._fan_out(message, issuer, page.sessions, now())
            if page.cursor is None:
                break
            cursor = page.cursor
            self.logouts.save_cursor(message.logout_id, message.fanout_id, cursor, now())
            if time_is_short():
                return False
        if is_main_run:
            sweep = replace(message, fanout_id=f"{message.fanout_id}:sweep", sweep=True)
            self.session_ended_queue.send([Outgoing(sweep.to_json(), (message.provider,), SWEEP_DELAY)])
            self.logouts.close(message.logout_id, now())
        return True

    def _fan_out(self, message: EndMessage, issuer: str, sessions: Sequence[RpSession], now: int) -> None:
        event, claim = message.event, Claim(message.logout_id, message.fanout_id, message.ended_at)
        covered = [session for session in sessions if is_covered(session, event)]
        newer = [session for session in sessions if not is_covered(session, event)]
        free = [session for session in covered if session.ended_by is None or session.fanout_id == message.fanout_id]
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            claimed = list(pool.map(lambda session: self.sessions.claim(issuer, session, event, claim, now), free))
            ours = [session for session in claimed if session is not None]
            taken = [session for session, mine in zip(free, claimed, strict=True) if mine is None]
            wanted = planned_deliveries(event, ours, self._sid_required(message, ours))
            recorded = pool.map(lambda delivery: self.deliveries.record(message, delivery, now), wanted)
            queued = [(each.client_id, each.sid) for each in compress(wanted, recorded)]
            queued += self._left_behind(message, [*newer, *taken], pool)
            self.delivery_queue.send(
                Outgoing(
                    DeliveryMessage(message.provider, message.logout_id, client_id, sid).to_json(),
                    tenant=(message.provider, client_id),
                )
                for client_id, sid in dict.fromkeys(queued)
            )
            list(pool.map(lambda session: self.sessions.mark_ended(issuer, session, claim, now), ours))
            if message.only_client_id is not None and isinstance(event, SessionEnded):
                # While this start lay between its two writes, whoever claimed the first had nothing to mark.
                taken += [session for session in covered if session not in free]
            list(pool.map(lambda session: self.sessions.mark_again(issuer, session, now), taken))

    def _left_behind(
        self, message: EndMessage, replaced: Sequence[RpSession], pool: ThreadPoolExecutor
    ) -> Iterable[tuple[str, str | None]]:
        """Return the deliveries that a run which died may have recorded without queueing them.

        It would find its RP sessions again, if newer ones had not taken their place. So look beside each of these.
        """
        possible = list({(session.client_id, sid) for session in replaced for sid in (None, session.sid)})
        return compress(possible, pool.map(lambda names: self.deliveries.is_untouched(message.logout_id, *names), possible))

    def _sid_required(self, message: EndMessage, sessions: Sequence[RpSession]) -> frozenset[str]:
        if isinstance(message.event, SessionEnded) or not sessions:
            return frozenset()
        clients = self.providers.get_clients(message.provider, {session.client_id for session in sessions})
        return frozenset(client.client_id for client in clients if client.needs_sid)
