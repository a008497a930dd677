"""Tells the event bus what became of deliveries, logouts and circuits: through EventsOutQueue, which takes what the bus cannot.

What is announced is on record by then, so that it can be announced again: an event may come twice, with the same id.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backchannel.announcements.details import (
    Announcement,
    CircuitClosed,
    CircuitOpened,
    DeliveryFailed,
    LogoutSettled,
    announcement,
    event_id,
    rfc3339,
)
from backchannel.aws.sqs import Queue
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.settlements import Settlement, Settlements
from backchannel.reasons import Reason
from backchannel.runtime.observability import short_hash

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES = frozenset({Status.REJECTED, Status.BLOCKED, Status.UNDELIVERABLE, Status.UNADDRESSABLE})
"""Final statuses of a relying party that was to be told and has not accepted its token.

``superseded`` and ``suppressed`` are none: nobody is to be told there.
"""

CIRCUITS_KEPT = 1000
"""Changes of circuits that wait for EventsOutQueue to take them. Of more, the oldest are lost."""


@dataclass(frozen=True, slots=True)
class Announcer:
    """Announces; changes of circuits wait for the end of their batch."""

    settlements: Settlements
    queue: Queue
    circuits: deque[Announcement] = field(default_factory=lambda: deque(maxlen=CIRCUITS_KEPT))

    @classmethod
    def over(cls, dynamodb: "DynamoDBClient", deliveries_table: str, queue: Queue) -> "Announcer":
        """Return one over a table, that sends to EventsOutQueue."""
        return cls(Settlements(dynamodb, deliveries_table), queue)

    def circuit_changed(self, provider: str, client_id: str, at: int, *, is_open: bool) -> None:
        """Note that a client's circuit has opened or closed at this time, in milliseconds since the epoch."""
        kind = CircuitOpened if is_open else CircuitClosed
        identity = event_id(kind.kind, provider, client_id, at)
        detail = kind(id=identity, at=rfc3339(at), provider=provider, client_id=client_id)
        self.circuits.append(announcement(detail, at))

    def finished(self, finals: Sequence[DeliveryRecord]) -> None:
        """Announce a batch: deliveries that are final by now, logouts that are settled by them, circuits.

        Raises:
            InternalFailure: not all is announced.

        """
        changes = [self.circuits.popleft() for _ in range(len(self.circuits))]
        try:
            self._send([*changes, *_failures(finals), *self._settled(dict.fromkeys(each.logout_id for each in finals))])
        except Exception:
            self.circuits.extendleft(reversed(changes))
            raise

    def fanned_out(self, logout_id: str, since: int, *, is_closed: bool) -> None:
        """Announce what a run of a fan-out has made final since it began, and the logout if that settles it.

        Raises:
            InternalFailure: not all is announced.

        """
        failures = list(_failures(self.settlements.unaddressable(logout_id, since)))
        self._send([*failures, *(self._settled([logout_id]) if failures or is_closed else ())])

    def _settled(self, logout_ids: Iterable[str]) -> Iterator[Announcement]:
        """Look at each logout once."""
        for logout_id in logout_ids:
            if (found := self.settlements.find(logout_id)) is not None:
                yield _settled(found)

    def _send(self, announcements: Iterable[Announcement]) -> None:
        self.queue.send(each.outgoing() for each in announcements)


def _failures(finals: Iterable[DeliveryRecord]) -> Iterator[Announcement]:
    for record in finals:
        if record.status in FAILURES:
            yield _failed(record)


def _failed(record: DeliveryRecord) -> Announcement:
    at = record.updated_at  # another one, once the delivery was sent again
    detail = DeliveryFailed(
        id=event_id(DeliveryFailed.kind, record.logout_id, record.client_id, record.sid, at),
        at=rfc3339(at),
        provider=record.provider,
        issuer=record.issuer,
        logout_id=record.logout_id,
        client_id=record.client_id,
        sid_hash=short_hash(record.sid),
        reason=record.reason or Reason.LOGOUT,
        status=record.status.value,  # type: ignore[arg-type] # one of FAILURES
        code=record.last_code,
        status_code=record.last_status_code,
        attempts=record.attempts,
        ended_at=rfc3339(record.ended_at),
    )
    return announcement(detail, at)


def _settled(found: Settlement) -> Announcement:
    detail = LogoutSettled(
        id=event_id(LogoutSettled.kind, found.logout_id, found.ended_at, found.version),
        at=rfc3339(found.settled_at),
        provider=found.provider,
        issuer=found.issuer,
        logout_id=found.logout_id,
        reason=Reason.read(found.reason) or Reason.LOGOUT,
        matched=found.matched,
        counts=found.counts,
        ended_at=rfc3339(found.ended_at),
    )
    return announcement(detail, found.settled_at)
