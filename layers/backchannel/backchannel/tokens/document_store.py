"""What all environments share of somebody else's document: the last good copy, the latest attempt to fetch it."""

from dataclasses import dataclass
from typing import Protocol

FRESH = 60_000
"""Milliseconds for which nobody looks for a newer document, and between two attempts to fetch one."""

RETRY = 10_000
"""Milliseconds between two attempts while there is no copy. A fetch is over sooner."""

MAX_STALE = 86_400_000
"""Milliseconds after which a copy is not used any more."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What all environments know of a document; ``failure`` is how the latest attempt ended, None if well or not at all yet.

    Without a copy, ``fetched_at`` is 0.
    """

    attempted_at: int
    body: str = ""
    fetched_at: int = 0
    failure: str | None = None

    def age(self, now: int) -> int:
        """Return how old the copy is."""
        return now - self.fetched_at

    def has_copy(self, now: int) -> bool:
        """Whether there is a copy that may be used."""
        return self.age(now) <= MAX_STALE

    def interval(self, now: int) -> int:
        """Return how long after the latest attempt the next may be made."""
        return FRESH if self.has_copy(now) else RETRY


class DocumentStore(Protocol):
    """Keeps documents for all environments."""

    def get(self, key: str) -> StoredDocument | None:
        """Return what is known of a document."""

    def claim(self, key: str, now: int, before: int) -> bool:
        """Note that the caller attempts to fetch a document; False if somebody has done so after ``before``."""

    def save(self, key: str, body: str, attempted_at: int) -> None:
        """Store what an attempt has fetched, unless there was another attempt since."""

    def fail(self, key: str, failure: str, attempted_at: int) -> None:
        """Store how an attempt has failed, unless there was another attempt since."""
