"""One EventBridge bus."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import EventBusUnavailable

MOST = 10
"""The most entries that one PutEvents takes."""

TRUSTED = 60.0
"""Seconds for which a bus that was there is taken to be there."""


@dataclass(frozen=True, slots=True)
class BusEvent:
    """One event; ``detail`` is JSON, ``at`` is in milliseconds since the epoch."""

    detail_type: str
    detail: str
    at: int


class EventBus:
    """A bus of this account; ``source`` is what all its events from here have in common."""

    def __init__(self, events: Any, name: str, source: str, clock: Callable[[], float] = time.time) -> None:
        self._events = events
        self._name, self._source = name, source
        self._clock = clock
        self._seen_at: float | None = None

    def put(self, events: Sequence[BusEvent]) -> list[str | None]:
        """Put up to MOST events on the bus; return for each why it was not taken, None if it was.

        Raises:
            EventBusUnavailable: none was taken, or the answer was lost.

        """
        try:
            self._see()
            answer = self._events.put_events(Entries=[self._entry(each) for each in events])
        except AWS_ERRORS as error:
            raise EventBusUnavailable(aws_code(error)) from error
        return [entry.get("ErrorCode") for entry in answer["Entries"]]

    def _see(self) -> None:
        """Ask whether the bus is there: PutEvents takes events for one that is not, and drops them."""
        now = self._clock()
        if self._seen_at is None or now - self._seen_at >= TRUSTED:
            self._events.describe_event_bus(Name=self._name)
            self._seen_at = now

    def _entry(self, event: BusEvent) -> dict[str, Any]:
        return {
            "EventBusName": self._name,
            "Source": self._source,
            "DetailType": event.detail_type,
            "Detail": event.detail,
            "Time": datetime.fromtimestamp(event.at / 1000, UTC),
        }
