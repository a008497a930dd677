"""A client was resumed: what waits for it is attempted within seconds.

A message walks through the client's pending deliveries in the index and hastens each. A walk takes a few seconds at most; then a
message of its own goes on where it stopped. The index lags a little, and an attempt that is under way may still have seen the
pause, so a second walk follows some seconds later. What is overdue is queued again: SQS forgets a message after four days.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import batched

from backchannel.aws.sqs import Queue
from backchannel.deliveries.client_walk import Place, walk
from backchannel.deliveries.messages import WakeMessage
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.records import DeliveryRecord, status_range
from backchannel.deliveries.table import Deliveries
from backchannel.errors import NotFoundError
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider

CLIENT_PAUSED = "client_paused"
"""The code of a delivery that waits for its client to be resumed."""

AGAIN = 10_000
"""Milliseconds until the second walk: longer than the index lags, and than an attempt that sends nothing takes."""

LONGEST = 5_000
"""Milliseconds after which a walk starts no further page: the other deliveries of its batch wait for it."""

PAGE = 100
_TOGETHER = 10
_STATUSES = tuple(status for status in Status if status in PENDING)


def wake_up(queue: Queue, provider: str, client_id: str, now: int) -> None:
    """Queue both walks for a client that was resumed ``now``."""
    message = WakeMessage(provider, client_id, now)
    queue.send([message.outgoing(), message.outgoing(AGAIN)])


@dataclass(frozen=True, slots=True)
class Waker:
    """Walks through the pending deliveries of resumed clients; ``queue`` takes their messages, and those of longer walks."""

    provider: Callable[[str], Provider]
    client: Callable[[str, str], Client]
    deliveries: Deliveries
    queue: Queue
    now: Callable[[], int] = lambda: round(time.time() * 1000)

    def wake(self, message: WakeMessage) -> None:
        """Hasten what waits, page by page.

        Raises:
            InternalFailure: not all are hastened; the same message can be handled again.

        """
        try:
            issuer = self.provider(message.provider).issuer
            is_paused = self.client(message.provider, message.client_id).paused
        except NotFoundError:
            return
        began = self.now()
        for page, rest in () if is_paused else self._pages(issuer, message):
            self._hasten(page, message)
            if rest is not None and self.now() - began >= LONGEST:
                self.queue.send([replace(rest, is_repeated=False).outgoing()])
                return

    def _pages(self, issuer: str, message: WakeMessage) -> Iterator[tuple[Sequence[DeliveryRecord], WakeMessage | None]]:
        """Yield pages of what was pending when the client was resumed, each with the message that goes on behind it."""
        ranges = {str(status): status_range(status, 0, message.resumed_at + AGAIN) for status in _STATUSES}
        after = None if message.after is None else json.loads(message.after)
        start = Place(message.status or str(_STATUSES[0]), after)
        for page, place in walk(self.deliveries, (issuer, message.client_id), ranges, start, lambda: PAGE):
            yield page, None if place is None else _going_on(message, place)

    def _hasten(self, page: Sequence[DeliveryRecord], message: WakeMessage) -> None:
        waiting = [each for each in page if each.updated_at <= message.resumed_at or each.last_code == CLIENT_PAUSED]
        for some in batched(waiting, _TOGETHER, strict=False):
            now = self.now()
            awake = [each for each in some if self.deliveries.hasten(each, now) or message.is_repeated]
            self.queue.send(each.message.outgoing() for each in awake)


def _going_on(message: WakeMessage, place: Place) -> WakeMessage:
    """Return the message that goes on with a walk at a place."""
    return replace(message, status=place.name, after=None if place.after is None else json.dumps(place.after))
