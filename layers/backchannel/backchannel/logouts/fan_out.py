"""The fan-out of an ended session: every RP session that the end covers gets a delivery.

It works page by page: claim, record, find what a dead run left behind, queue, mark, repair. A run that stops anywhere can be
repeated: claims, records and the cursor show what has been done.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.dynamodb import Page, key
from backchannel.aws.sqs import Queue
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import Run
from backchannel.deliveries.table import Deliveries
from backchannel.errors import InternalFailure, NotFoundError, StorageUnavailable
from backchannel.logouts.recipients import delivery_without_session, planned_deliveries
from backchannel.logouts.table import Logout, Logouts, Progress
from backchannel.providers.clients import Client
from backchannel.providers.source_activity import SourceActivities, Tally
from backchannel.providers.table import Providers
from backchannel.reasons import Reason, is_emergency
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded, is_whole_session
from backchannel.sessions.intake import end_message
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.rp_sessions import RpSession, is_covered, last_covered
from backchannel.sessions.table import Claim, Sessions

if TYPE_CHECKING:
    from backchannel.deliveries.announcer import Announcer

PAGE = 100
SWEEP_DELAY = 30_000
_ANNOUNCED_AGAIN = 10_000
"""Milliseconds: longer than a start can take between its write and its look."""

_CONCURRENCY = 8

type DeliveryKey = tuple[str, str | None]
"""A delivery within its logout: ``client_id`` and ``sid``."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """Carries out ended sessions; ``now`` is in milliseconds. ``announcer`` is there if there is an event bus."""

    providers: Providers
    sessions: Sessions
    logouts: Logouts
    deliveries: Deliveries
    session_ended_queue: Queue
    delivery_queue: Queue
    mass_logout_ended_queue: Queue
    mass_delivery_queue: Queue
    activities: SourceActivities
    announcer: "Announcer | None" = None

    def carry_out(
        self, message: EndMessage, *, now: Callable[[], int], time_is_short: Callable[[], bool], is_repeated: bool = True
    ) -> bool:
        """Give every RP session of the ended session its delivery; False if time ran short and there is more to do.

        A run that is not ``is_repeated`` has begun nothing yet, so it has nothing to finish.

        Raises:
            InternalFailure: not finished; to be repeated.
            NotFoundError: the provider does not exist any more.

        """
        began, is_main_run = now(), message.only_client_id is None and not message.sweep
        known = self.logouts.find(message.logout_id) if is_main_run else None
        if known is not None:
            message = _as_first_received(message, known)
            if known.is_done(message) and not is_repeated and not message.reopen:
                return self._carry_on(message, now, time_is_short)
        provider = self.providers.get(message.provider)
        issuer = provider.issuer
        if message.issuer not in {None, issuer}:
            raise NotFoundError.of("provider of issuer", str(message.issuer))  # another one has its name by now
        event = message.event
        if is_main_run:
            self.sessions.end(issuer, event, now())
        self.logouts.open(message, issuer, now())
        progress = self.logouts.progress(message.logout_id, message.fanout_id) if is_repeated else Progress()
        page_by_page = _Pages(self, message, issuer, now, time_is_short)
        told = page_by_page.tell_sessions(progress)
        if told is None:
            return False
        if is_main_run:
            tells_all_clients = provider.recipients == "all_clients"
            if tells_all_clients and not page_by_page.tell_all_clients(told):
                return False
            if told.matched == 0 and message.unmatched_sub is None and not tells_all_clients:
                self._count_unmatched(message)
            self._finish(message, issuer, told.matched, now())
        elif told.matched > 0:
            self.logouts.match_late(message.logout_id, told.matched)
        self._announce(message, told, began, is_closed=is_main_run, is_repeated=is_repeated)
        return True

    def _announce(self, message: EndMessage, told: Progress, began: int, *, is_closed: bool, is_repeated: bool) -> None:
        """Announce what this run has made final; a sweep that found nothing has made nothing final.

        If that fails, a message of its own does it: this one, repeated, could tell relying parties again.
        """
        if not is_closed and told.matched == 0:
            return
        try:
            self.announce(message, since=0 if is_closed or is_repeated else began, is_closed=is_closed)
        except InternalFailure as failure:
            logger.error("announcements.postponed", code=failure.code, detail=str(failure))
            self.ended_queue_of(message).send([replace(message, only_announces=True).outgoing(_ANNOUNCED_AGAIN)])

    def announce(self, message: EndMessage, *, since: int = 0, is_closed: bool = True) -> None:
        """Tell the event bus, if there is one, what the fan-out of an end has made final.

        Raises:
            InternalFailure: not all is told; to be repeated.

        """
        if self.announcer is not None:
            self.announcer.fanned_out(message.logout_id, since, is_closed=is_closed)

    def ended_queue_of(self, message: EndMessage) -> Queue:
        """Return the queue for what follows from an end."""
        return self.session_ended_queue if message.mass_logout is None else self.mass_logout_ended_queue

    def delivery_queue_of(self, message: EndMessage) -> Queue:
        """Return the queue for an end's deliveries: those of mass logouts have one of their own, and hold no others up."""
        return self.delivery_queue if message.mass_logout is None else self.mass_delivery_queue

    def _count_unmatched(self, message: EndMessage) -> None:
        if message.mass_logout is not None:
            return  # whoever was listed need not be logged in
        logger.warning("session.unmatched")
        metrics.add_metric("LogoutsUnmatched", MetricUnit.Count, 1)
        if message.source is None:
            return
        try:
            self.activities.add(message.provider, message.source, Tally({"unmatched": 1}))
        except StorageUnavailable as failure:  # a logout does not wait for a count
            logger.error("source.not_counted", source=message.source, code=failure.code, detail=str(failure))
            metrics.add_metric("SourcesNotCounted", MetricUnit.Count, 1)

    def _carry_on(self, message: EndMessage, now: Callable[[], int], time_is_short: Callable[[], bool]) -> bool:
        """Do what is left of an end that is fanned out: a token may have come. Whoever started since has found the tombstone."""
        if message.passes_on is None:
            return True
        narrowed = replace(message, only_client_id=message.passes_on)
        return self.carry_out(narrowed, now=now, time_is_short=time_is_short, is_repeated=False)

    def _finish(self, message: EndMessage, issuer: str, matched: int, now: int) -> None:
        """Queue the sweep, and the end of all of the subject's sessions if that is what an unknown ``sid`` means."""
        sweep = replace(message, fanout_id=f"{message.fanout_id}:sweep", sweep=True, reopen=False, passes_on=None)
        following = [(sweep, SWEEP_DELAY)]
        if matched == 0 and message.unmatched_sub is not None:
            end = SubjectSessionsEnded(
                message.unmatched_sub, message.ended_at, message.source_event_id, message.client_id, message.event.reason
            )
            source, by = message.source, message.requested_by
            following.append((end_message(message.provider, issuer, end, source=source, requested_by=by), 0))
        self.ended_queue_of(message).send(each.outgoing(delay) for each, delay in following)
        self.logouts.close(message, matched, now)


def _as_first_received(message: EndMessage, known: Logout) -> EndMessage:
    """Return the message of an event that is sent again with the time of its first receipt, to which it was cut."""
    if known.source_event_id != message.source_event_id:
        return message
    return replace(message, ended_at=min(message.ended_at, known.ended_at))


@dataclass(frozen=True, slots=True)
class _Pages:
    """The pages of one run: RP sessions first, then clients. None of them is lost if the run stops anywhere."""

    using: FanOut
    message: EndMessage
    issuer: str
    now: Callable[[], int]
    time_is_short: Callable[[], bool]

    def tell_sessions(self, progress: Progress) -> Progress | None:
        """Fan out to the RP sessions from where an earlier try stopped; None if time ran short."""
        message, sessions = self.message, self.using.sessions
        client_id = message.only_client_id or message.client_id
        while not _is_among_clients(progress.cursor):
            now = self.now()
            page = sessions.page(self.issuer, message.event, client_id=client_id, after=progress.cursor, limit=PAGE, now=now)
            with ThreadPoolExecutor(_CONCURRENCY) as pool:
                matched = _PageFanOut(self.using, message, self.issuer, self.now(), pool).carry_out(page.items)
            progress = Progress(page.cursor, progress.matched + matched)
            if progress.cursor is None:
                break
            if self._stops_at(progress):
                return None
        return progress

    def tell_all_clients(self, progress: Progress) -> bool:
        """Give every client a delivery that has none, from where an earlier try stopped; False if time ran short."""
        while True:
            page = self._clients(progress.cursor)
            with ThreadPoolExecutor(_CONCURRENCY) as pool:
                _PageFanOut(self.using, self.message, self.issuer, self.now(), pool).tell_clients(page.items)
            progress = replace(progress, cursor=page.cursor)
            if progress.cursor is None:
                return True
            if self._stops_at(progress):
                return False

    def _clients(self, after: str | None) -> Page[Client]:
        providers, message = self.using.providers, self.message
        if message.client_id is not None:
            return Page(providers.get_clients(message.provider, [message.client_id]), None)
        return providers.clients(message.provider, after, PAGE)

    def _stops_at(self, progress: Progress) -> bool:
        self.using.logouts.save_progress(self.message.logout_id, self.message.fanout_id, progress, self.now())
        return self.time_is_short()


def _is_among_clients(cursor: str | None) -> bool:
    """Whether a run has got to the clients: their keys differ from those of RP sessions."""
    return cursor is not None and cursor.startswith(key("CLIENT", ""))


@dataclass(frozen=True, slots=True)
class _PageFanOut:
    """The steps for one page of RP sessions."""

    using: FanOut
    message: EndMessage
    issuer: str
    now: int
    pool: ThreadPoolExecutor

    def carry_out(self, sessions: Sequence[RpSession]) -> int:
        """Fan a page out and return how many RP sessions the end covers."""
        message = self.message
        covered = [session for session in sessions if self._is_covered(session)]
        newer = [session for session in sessions if not self._is_covered(session)]
        free = [session for session in covered if session.ended_by is None or session.fanout_id == message.fanout_id]
        anothers = [session for session in covered if session not in free]

        ours, lost = self._claim(free)
        self._queue(self._record(ours) + self._left_behind([*newer, *lost]) + self._record_kept([*newer, *anothers, *lost]))
        self._tell_again(
            [
                (each.ended_by or message.logout_id, each.client_id, each.sid)
                for each in ([*anothers, *lost] if self._tells_all else anothers)
                if self._tells_all or (each.reason or Reason.LOGOUT) != self._reason
            ]
        )
        self._mark(ours)
        # While a late start lay between its two writes, whoever claimed the first had nothing to copy the claim to.
        is_late_start = message.only_client_id is not None and isinstance(message.event, SessionEnded)
        self._repair([*lost, *anothers] if is_late_start else lost)
        return len(covered)

    def _is_covered(self, session: RpSession) -> bool:
        return is_covered(session, self.message.event) or session.part_of == self.message.fanout_id

    def _claim(self, free: Sequence[RpSession]) -> tuple[list[RpSession], list[RpSession]]:
        """Claim RP sessions; return what is ours, as it is stored, and what another run has by now."""
        claims = self.pool.map(
            lambda session: self.using.sessions.claim(self.issuer, session, self.message.event, self._claimed, self.now), free
        )
        results = list(zip(free, claims, strict=True))
        ours = [claimed for _, claimed in results if claimed is not None]
        return ours, [session for session, claimed in results if claimed is None]

    def _record(self, ours: Sequence[RpSession]) -> list[DeliveryKey]:
        """Record a delivery for each token that our RP sessions need; return those to be queued."""
        message = self.message
        run = self._run
        planned = planned_deliveries(message.event, ours, self._sid_required(ours))
        planned = [replace(each, status=Status.QUEUED) if each.client_id == message.passes_on else each for each in planned]
        recorded = self.pool.map(lambda each: self.using.deliveries.record(run, each, self.now), planned)
        return [(each.client_id, each.sid) for each in compress(planned, recorded)]

    def _record_kept(self, others: Sequence[RpSession]) -> list[DeliveryKey]:
        """Record the delivery whose token would wait in vain, since it is not this run that takes care of the RP session.

        Another logout has no token for a client that is sent nothing but the provider's own.
        """
        message, using = self.message, self.using
        meant = [session for session in others if session.client_id == message.passes_on]
        if not meant:
            return []
        is_told_by_others = any(each.own_tokens for each in using.providers.get_clients(message.provider, {meant[0].client_id}))
        planned = planned_deliveries(message.event, meant, frozenset())
        recorded = [
            using.deliveries.record_kept(self._run, each, self.now, is_told_by_others=is_told_by_others) for each in planned
        ]
        return [(each.client_id, each.sid) for each in compress(planned, recorded)]

    def tell_clients(self, clients: Sequence[Client]) -> None:
        """Give each of these clients a delivery, unless this logout has one for it already."""
        event, using = self.message.event, self.using
        taking = [client for client in clients if client.backchannel_logout_uri is not None]
        if isinstance(event, SubjectSessionsEnded):
            # A client that needs a sid has been told of the sessions that are known.
            taking = list(compress(taking, self.pool.map(lambda each: not (each.needs_sid and self._has_session(each)), taking)))
        planned = [delivery_without_session(event, client) for client in taking]
        is_queued = list(self.pool.map(lambda each: using.deliveries.record_first(self._run, each, self.now), planned))
        self._queue([(each.client_id, each.sid) for each in compress(planned, is_queued)])
        known = [each for each, is_new in zip(planned, is_queued, strict=True) if not is_new and each.status is Status.QUEUED]
        self._tell_again([(self.message.logout_id, each.client_id, each.sid) for each in known])

    def _has_session(self, client: Client) -> bool:
        page = self.using.sessions.page(
            self.issuer, self.message.event, client_id=client.client_id, after=None, limit=PAGE, now=self.now
        )
        return any(self._is_covered(session) for session in page.items)

    def _left_behind(self, replaced: Sequence[RpSession]) -> list[DeliveryKey]:
        """Return the deliveries that a run which died may have recorded without queueing them.

        It would find its RP sessions again, had newer ones not taken their place. So look beside each of these.
        """
        possible = list({(session.client_id, sid) for session in replaced for sid in (None, session.sid)})
        untouched = self.pool.map(lambda key: self.using.deliveries.is_untouched(self.message.logout_id, *key), possible)
        return list(compress(possible, untouched))

    def _tell_again(self, told: Sequence[tuple[str, str, str | None]]) -> None:
        """Tell RP sessions again that a logout has taken care of, but for those that accepted their token.

        Each is named by that logout, its client and its ``sid``. In an emergency, what that logout has still to send becomes one,
        too. Otherwise, unless the operator asks for it, only those are told again whose clients did not want to hear of that
        logout's reason, and may want to hear of this one's.
        """
        using, message, reason = self.using, self.message, self._reason
        found = self.pool.map(lambda each: using.deliveries.of_session(*each), told)
        records = [record for each in found for record in each if self._tells_all or (record.reason or Reason.LOGOUT) != reason]
        another = [record for record in records if is_emergency(reason) or reason not in record.reasons]
        list(self.pool.map(lambda record: using.deliveries.add_reason(record, reason, message.ended_at), another))
        reopen_all = functools.partial(using.deliveries.reopen, requested_by=message.requested_by)
        reopen = reopen_all if self._tells_all else using.deliveries.reopen_suppressed
        reopened = list(compress(records, self.pool.map(lambda record: reopen(record, self.now), records)))
        using.delivery_queue_of(message).send(each.message.outgoing() for each in reopened)

    def _queue(self, keys: Sequence[DeliveryKey]) -> None:
        provider, logout_id = self.message.provider, self.message.logout_id
        self.using.delivery_queue_of(self.message).send(
            DeliveryMessage(provider, logout_id, client_id, sid).outgoing() for client_id, sid in dict.fromkeys(keys)
        )

    def _mark(self, ours: Sequence[RpSession]) -> None:
        """Copy our claims to the RP sessions' other items, which only readers use."""
        told_until = last_covered(self.message.event)
        mark = functools.partial(self.using.sessions.mark, self.issuer, now=self.now, told_until=told_until)
        list(self.pool.map(mark, ours))

    def _repair(self, taken: Sequence[RpSession]) -> None:
        """Copy the claims of other runs to the other items: those runs may have come too early for them."""
        list(self.pool.map(lambda session: self.using.sessions.mark_again(self.issuer, session, self.now), taken))

    @property
    def _reason(self) -> Reason:
        return self.message.event.reason or Reason.LOGOUT

    @property
    def _tells_all(self) -> bool:
        """Whether all are told again that have not accepted their token."""
        return self.message.reopen or is_emergency(self._reason)

    @property
    def _run(self) -> Run:
        message = self.message
        return Run(
            message.provider,
            self.issuer,
            message.logout_id,
            message.fanout_id,
            message.ended_at,
            message.event.reason,
            whole_session=is_whole_session(message.event),
        )

    @property
    def _claimed(self) -> Claim:
        return Claim(self.message.logout_id, self.message.fanout_id, self.message.ended_at, self.message.event.reason)

    def _sid_required(self, sessions: Sequence[RpSession]) -> frozenset[str]:
        if isinstance(self.message.event, SessionEnded) or not sessions:
            return frozenset()
        clients = self.using.providers.get_clients(self.message.provider, {session.client_id for session in sessions})
        return frozenset(client.client_id for client in clients if client.needs_sid and client.own_tokens)
