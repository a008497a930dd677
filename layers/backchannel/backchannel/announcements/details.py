"""The events that go out: the ``detail`` of each kind. docs/events.md describes them; pure.

No event holds a subject or a token; a session id stands there as its hash, as in logs. The JSON schemas in docs/events/ are made
from these classes. Within a version, members may be added; none is changed or removed.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

from backchannel.aws.messages import Message


@dataclass(frozen=True, slots=True)
class Announcement(Message):
    """One event on its way to the bus; ``detail`` is JSON, ``at`` is in milliseconds since the epoch."""

    detail_type: str
    provider: str
    at: int
    detail: str

    @property
    def tenant(self) -> tuple[str, ...]:
        return (self.provider,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What all kinds have."""

    kind: ClassVar[str]

    version: Literal["1"] = "1"
    """That of the schema."""
    id: str
    """The same each time that the same event is sent: drop what you have seen. Unique within one source."""
    at: str
    """When it happened."""
    provider: str
    """The provider's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFailed(Detail):
    """A delivery is final, and its relying party has not accepted a logout token: it may keep its session."""

    kind: ClassVar[str] = "delivery.failed"

    issuer: str
    logout_id: str
    client_id: str
    sid_hash: str | None
    """What logs show instead of the session id; null if the token is about all sessions of a subject."""
    reason: str
    """Why the session ended: one of the service's words, `logout` if none was given."""
    status: Literal["rejected", "blocked", "undeliverable", "unaddressable"]
    code: str | None
    """The code of the last outcome; null for an `unaddressable` delivery, which has none."""
    status_code: int | None
    """The last HTTP status of the relying party; null if it never answered."""
    attempts: int
    ended_at: str
    """When the session ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutSettled(Detail):
    """A logout is fanned out and all its deliveries are final."""

    kind: ClassVar[str] = "logout.settled"

    issuer: str
    logout_id: str
    reason: str
    """Why the session ended: one of the service's words, `logout` if none was given."""
    matched: int
    """How many RP sessions were found; 0: nobody was."""
    counts: dict[str, int]
    """How many deliveries have which status."""
    ended_at: str
    """When the session ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOpened(Detail):
    """A client has failed so often that it is left alone for a while."""

    kind: ClassVar[str] = "circuit.opened"

    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitClosed(Detail):
    """A client that was left alone answers again."""

    kind: ClassVar[str] = "circuit.closed"

    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MassLogoutFinished(Detail):
    """A mass logout is over: every logout of it is settled, or it was cancelled."""

    kind: ClassVar[str] = "mass_logout.finished"

    issuer: str
    mass_logout_id: str
    client_id: str | None
    """The one client of its scope; null if the scope has all clients."""
    reason: str
    status: Literal["finished", "cancelled"]
    subjects: int
    """How many subjects were logged out."""
    counts: dict[str, int]
    """How many deliveries have which status."""
    started_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(Detail):
    """A key has begun to sign."""

    kind: ClassVar[str] = "key.rotated"

    issuer: str
    kid: str
    alg: str
    is_own: bool
    """Whether it is a key of the provider's own."""


KINDS: tuple[type[Detail], ...] = (DeliveryFailed, LogoutSettled, CircuitOpened, CircuitClosed, MassLogoutFinished, KeyRotated)


def event_id(*parts: object) -> str:
    """Return the id of the event that these parts distinguish from all others of the stack."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()[:40]


def rfc3339(at: int) -> str:
    """Return milliseconds since the epoch as events show them."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def announcement(detail: Detail, at: int) -> Announcement:
    """Return what is sent about something that happened at ``at``, in milliseconds since the epoch."""
    return Announcement(detail.kind, detail.provider, at, json.dumps(asdict(detail), separators=(",", ":")))


def mass_logout_finished(
    mass_logout_id: str,
    *,
    provider: str,
    issuer: str,
    client_id: str | None,
    reason: str,
    status: Literal["finished", "cancelled"],
    subjects: int,
    counts: dict[str, int],
    started_at: int,
    finished_at: int,
) -> Announcement:
    """Announce the end of a mass logout; times in milliseconds since the epoch. One that is sent again has the same id."""
    detail = MassLogoutFinished(
        id=event_id(MassLogoutFinished.kind, mass_logout_id, status),
        at=rfc3339(finished_at),
        provider=provider,
        issuer=issuer,
        mass_logout_id=mass_logout_id,
        client_id=client_id,
        reason=reason,
        status=status,
        subjects=subjects,
        counts=counts,
        started_at=rfc3339(started_at),
    )
    return announcement(detail, finished_at)
