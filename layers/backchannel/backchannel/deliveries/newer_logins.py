"""An old event must not end a newer login: whether a token would, and what to do instead.

A token with ``sid`` logs the user out of that provider session; if the session goes on, the client may hold a newer login in
it. A token without ``sid`` logs the user out of everything at the client (section 2.4). So before each attempt we look for
newer logins. If there is one, the token is not sent: it gives way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backchannel.aws.dynamodb import Page
from backchannel.aws.sqs import Outgoing, Queue
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord, PlannedDelivery, Run
from backchannel.deliveries.table import Deliveries
from backchannel.providers.clients import Client
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession, is_covered
from backchannel.sessions.table import Sessions

SUPERSEDED_RUN = "superseded"
"""The ``run_id`` of deliveries by ``sid`` that replace one by ``sub``."""

PAGE = 100
PAGES = 5
"""Pages of older sessions that one attempt replaces: few enough to end well before its lease does."""

_CODE = "newer_session"
_SUPERSEDED = Outcome(Status.SUPERSEDED, _CODE)
_SOON = 1_000
"""The delay before an attempt that goes on where this one stopped."""


@dataclass(frozen=True, slots=True)
class NewerLogins:
    """Looks for logins that a token must not end; ``queue`` takes the deliveries that replace it."""

    sessions: Sessions
    deliveries: Deliveries
    queue: Queue

    def would_be_ended(self, issuer: str, record: DeliveryRecord, sid: str | None, now: int) -> bool:
        """Whether a token with this ``sid``, or with none, would end a newer login."""
        if sid is not None and record.whole_session:
            return False
        end = _end(record, sid)
        return any(_is_newer(session, end) for page in self._pages(issuer, end, record, None, now) for session in page.items)

    def give_way(self, issuer: str, client: Client, record: DeliveryRecord, sid: str | None, now: int) -> Outcome:
        """Replace a token by ones that end no newer login, if the client takes such, and return what becomes of the delivery.

        Instead of a token without ``sid``, each older session gets a delivery by ``sid``. This takes several attempts if there
        are many.
        """
        if sid is not None or client.subject == "sub_only":
            return _SUPERSEDED
        end = _end(record, sid)
        for number, page in enumerate(self._pages(issuer, end, record, record.cursor, now), start=1):
            self._replace(page.items, end, record, now)
            if number == PAGES and page.cursor is not None:
                return Outcome(record.status, _CODE, _SOON, page.cursor)
        return _SUPERSEDED

    def _pages(self, issuer: str, end: Ended, record: DeliveryRecord, cursor: str | None, now: int) -> Iterator[Page[RpSession]]:
        while True:
            page = self.sessions.page(issuer, end, client_id=record.client_id, after=cursor, limit=PAGE, now=now)
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    def _replace(self, sessions: Sequence[RpSession], end: Ended, record: DeliveryRecord, now: int) -> None:
        """Record and queue a delivery by ``sid`` for each older session that this logout took care of."""
        run = Run(record.provider, record.logout_id, SUPERSEDED_RUN, record.ended_at)
        planned = (
            PlannedDelivery(each.client_id, each.sid, each.sub, each.client_sub, started_at=each.started_at)
            for each in sessions
            if each.sid is not None
            and is_covered(each, end)
            and each.ended_by in {None, record.logout_id}  # None: its mark is still to be written
        )
        self.queue.send(
            Outgoing(
                DeliveryMessage(record.provider, record.logout_id, delivery.client_id, delivery.sid).to_json(),
                tenant=(record.provider, delivery.client_id),
            )
            for delivery in planned
            if self.deliveries.record(run, delivery, now)
        )


def _end(record: DeliveryRecord, sid: str | None) -> Ended:
    """Return the end that a token means to its client: of what began at or before it."""
    if sid is not None:
        return SessionEnded(sid, record.ended_at, "", record.client_id)
    return SubjectSessionsEnded(record.sub, record.ended_at, "", record.client_id)


def _is_newer(session: RpSession, end: Ended) -> bool:
    return session.ended_by is None and not is_covered(session, end)
