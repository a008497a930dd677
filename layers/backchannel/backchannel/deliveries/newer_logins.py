"""An old event must not end a newer login: what becomes of a delivery whose token would."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backchannel.aws.sqs import Outgoing, Queue
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord, PlannedDelivery
from backchannel.deliveries.table import Deliveries
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.rp_sessions import RpSession, is_covered
from backchannel.sessions.table import Page, Sessions

SUPERSEDED_RUN = "superseded"
"""The ``fanout_id`` of deliveries by ``sid`` that take the place of one by ``sub``."""

PAGE = 100
PAGES = 5
"""Pages of older sessions that one attempt tells: serially, so that it ends well before its lease does."""

_CODE = "newer_session"
_SUPERSEDED = Outcome(Status.SUPERSEDED, _CODE)
_SOON = 1
"""Seconds before an attempt that goes on where this one came to."""


@dataclass(frozen=True, slots=True)
class NewerLogins:
    """Looks, before an attempt, for logins that its token must not end; ``queue`` takes the deliveries that come of it."""

    sessions: Sessions
    deliveries: Deliveries
    queue: Queue

    def supersede(self, provider: Provider, client: Client, record: DeliveryRecord, sid: str | None, now: int) -> Outcome | None:
        """Find out whether a token with this ``sid``, or with none, would end a newer login; ``now`` in milliseconds.

        One with ``sid`` ends whatever the client has begun within that provider session, unless that session is over. One
        without ends all of the subject's logins at the client (section 2.4); then each older one gets a delivery by ``sid``
        in its place, if the client takes such tokens. Returns what becomes of the delivery then; None if nothing newer is met.
        """
        if sid is not None and record.whole_session:
            return None
        event = _end(record, sid)
        pages = self._pages(provider, event, record, None, now)
        if not any(_is_newer(session, event) for page in pages for session in page.sessions):
            return None
        if sid is not None or client.subject == "sub_only":
            return _SUPERSEDED
        for number, page in enumerate(self._pages(provider, event, record, record.cursor, now), start=1):
            self._tell_by_sid(page.sessions, event, record, now)
            if number == PAGES and page.cursor is not None:
                return Outcome(record.status, _CODE, _SOON, page.cursor)
        return _SUPERSEDED

    def _pages(self, provider: Provider, event: Ended, record: DeliveryRecord, cursor: str | None, now: int) -> Iterator[Page]:
        while True:
            page = self.sessions.page(provider.issuer, event, client_id=record.client_id, after=cursor, limit=PAGE, now=now)
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    def _tell_by_sid(self, sessions: Sequence[RpSession], event: Ended, record: DeliveryRecord, now: int) -> None:
        run = EndMessage.of(event, provider=record.provider, logout_id=record.logout_id, fanout_id=SUPERSEDED_RUN)
        deliveries = (
            PlannedDelivery(each.client_id, each.sid, each.sub, each.client_sub, started_at=each.started_at)
            for each in sessions
            if each.sid is not None
            and is_covered(each, event)
            and each.ended_by in {None, record.logout_id}  # None: its mark is on the way
        )
        self.queue.send(
            Outgoing(
                DeliveryMessage(record.provider, record.logout_id, delivery.client_id, delivery.sid).to_json(),
                tenant=(record.provider, delivery.client_id),
            )
            for delivery in deliveries
            if self.deliveries.record(run, delivery, now)
        )


def _end(record: DeliveryRecord, sid: str | None) -> Ended:
    """Return the end that a token stands for, as its client sees it: of what began at or before it."""
    if sid is not None:
        return SessionEnded(sid, record.ended_at, "", record.client_id)
    return SubjectSessionsEnded(record.sub, record.ended_at, "", record.client_id)


def _is_newer(session: RpSession, event: Ended) -> bool:
    return session.ended_by is None and not is_covered(session, event)
