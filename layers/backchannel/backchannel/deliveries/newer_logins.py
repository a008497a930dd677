"""An old event must not end a newer login: the look before each attempt, and the deliveries that take the place of one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backchannel.aws.dynamodb import Page
from backchannel.aws.sqs import Queue
from backchannel.deliveries.addressing import SUPERSEDED, Newer
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Outcome
from backchannel.deliveries.records import DeliveryRecord, PlannedDelivery, Run
from backchannel.deliveries.table import Deliveries
from backchannel.providers.clients import Client
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession, has_newer_login, is_covered, last_covered
from backchannel.sessions.table import Sessions

SUPERSEDED_RUN = "superseded"
"""The ``run_id`` of deliveries by ``sid`` that replace one by ``sub``."""

PAGE = 100
PAGES = 5
"""Pages of older sessions that one attempt replaces: few enough to end well before its lease does."""

_SOON = 1_000
"""The delay before an attempt that goes on where this one stopped."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where the subject has a newer login, and whether an older session of a subject-wide delivery has no ``sid``."""

    newer: Newer
    has_older_without_sid: bool = False


@dataclass(frozen=True, slots=True)
class NewerLogins:
    """Looks for logins that a token must not end; ``queue`` takes the deliveries that replace it."""

    sessions: Sessions
    deliveries: Deliveries
    queue: Queue

    def look(self, issuer: str, client: Client, record: DeliveryRecord, now: int) -> Look:
        """Look as far as the client's tokens reach: into the session, and at the subject's others if they carry ``sub``."""
        sid = None if client.subject == "sub_only" else record.sid
        if sid is not None and self._is_new_in_session(issuer, record, sid, now):
            return Look(Newer.SAME_SESSION)
        if record.sub is None or (sid is not None and client.subject == "sid_only"):
            return Look(Newer.NOWHERE)
        end, newer, has_older_without_sid = _end_of_subject(record, record.sub), Newer.NOWHERE, False
        for page in self._pages(issuer, end, record, None, now):
            for session in page.items:
                if session.ended_by is None and (sid is None or session.sid != sid) and has_newer_login(session, end):
                    newer = Newer.ELSEWHERE
                has_older_without_sid |= session.sid is None and _is_older(session, end, record)
            if newer is Newer.ELSEWHERE:
                break  # a session without sid would have been on the first page
        return Look(newer, has_older_without_sid)

    def replace_by_sid(self, issuer: str, record: DeliveryRecord, now: int) -> Outcome:
        """Record and queue a delivery by ``sid`` for each older session, and return what becomes of this one.

        This takes several attempts if there are many.
        """
        if record.sub is None:
            return SUPERSEDED
        end = _end_of_subject(record, record.sub)
        for number, page in enumerate(self._pages(issuer, end, record, record.cursor, now), start=1):
            self._replace(page.items, end, record, now)
            if number == PAGES and page.cursor is not None:
                return Outcome(record.status, SUPERSEDED.code, _SOON, page.cursor)
        return SUPERSEDED

    def _is_new_in_session(self, issuer: str, record: DeliveryRecord, sid: str, now: int) -> bool:
        """Whether the client holds a login of this session that the end is not about."""
        client_id = None if record.whole_session else record.client_id
        end = SessionEnded(sid, record.ended_at, "", client_id)
        if now <= last_covered(end):
            return False  # logins are never stored with a time that is still to come
        page = self.sessions.page(issuer, end, client_id=record.client_id, after=None, limit=1, now=now)
        return any(session.ended_by is None and has_newer_login(session, end) for session in page.items)

    def _pages(self, issuer: str, end: Ended, record: DeliveryRecord, cursor: str | None, now: int) -> Iterator[Page[RpSession]]:
        while True:
            page = self.sessions.page(issuer, end, client_id=record.client_id, after=cursor, limit=PAGE, now=now)
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    def _replace(self, sessions: Sequence[RpSession], end: Ended, record: DeliveryRecord, now: int) -> None:
        """Record and queue a delivery by ``sid`` for each older session that this logout took care of."""
        run = Run(
            record.provider,
            record.issuer,
            record.logout_id,
            SUPERSEDED_RUN,
            record.ended_at,
            record.reason,
            record.whole_session,
            record.also,
        )
        planned = (
            PlannedDelivery(each.client_id, each.sid, each.sub, each.client_sub, started_at=each.started_at)
            for each in sessions
            if each.sid is not None and _is_older(each, end, record)
        )
        self.queue.send(
            DeliveryMessage(record.provider, record.logout_id, delivery.client_id, delivery.sid).outgoing()
            for delivery in planned
            if self.deliveries.record(run, delivery, now)
        )


def _end_of_subject(record: DeliveryRecord, sub: str) -> Ended:
    """Return the end that a token with ``sub`` means to its client: of whatever began at or before it."""
    return SubjectSessionsEnded(sub, record.ended_at, "", record.client_id)


def _is_older(session: RpSession, end: Ended, record: DeliveryRecord) -> bool:
    """Whether the delivery is about a login in this session. Its claim, or the claim's copy, may still be to be written."""
    return record.logout_id in session.claimed_by or (session.ended_by is None and is_covered(session, end))
