"""The three session events that formats make from webhooks, and the identifiers in them.

Times are milliseconds since the epoch: the event's own time, as its sender gave it.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from backchannel.errors import EventTimeInvalidError, ExpiryInvalidError, IdentifierInvalidError
from backchannel.reasons import Cause, Reason

MAX_CLOCK_DIFFERENCE = 300_000
"""How far a sender's clock may be ahead of ours, in milliseconds."""

CLOCK_TOLERANCE = 5_000
"""Milliseconds that a login may be reported to follow the end of its own provider session."""

EARLIEST = 1_000_000_000_000
"""September 2001, in milliseconds: an earlier time is one in seconds."""

MAX_EXPIRY = 253_402_300_799_999
"""The last millisecond of the year 9999, after which ISO 8601 needs more digits."""

MAX_IDENTIFIER = 2048
"""Characters of a ``sub``, ``sid`` or ``client_id``. Core allows a ``sub`` 255 (section 2); some providers take more."""

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters (category Cc) and halves of surrogate pairs."""


@dataclass(frozen=True, slots=True)
class RpSessionStarted:
    """A client got an ID token for a subject: from now on it must be told when the session ends."""

    sub: str
    client_id: str
    started_at: int
    sid: str | None = None
    client_sub: str | None = None
    """The subject as this client knows it, where that differs (pairwise subjects, Core section 8)."""
    expires_at: int | None = None
    """When the session ends by itself, if the provider says so."""
    untimed: bool = False
    """Whether ``started_at`` is the time of receipt, since the event carries none."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """One session at the provider is over; with ``client_id``, only that client's part of it.

    ``unmatched_sub``: if nobody is found by ``sid``, all sessions of this subject are over. ``cause``: what a source's policy
    goes by, where that is not the reason.
    """

    sid: str
    ended_at: int
    source_event_id: str
    client_id: str | None = None
    reason: Reason | None = None
    unmatched_sub: str | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class SubjectSessionsEnded:
    """All sessions of a subject that started at or before ``ended_at`` are over; with ``client_id``, only at that client."""

    sub: str
    ended_at: int
    source_event_id: str
    client_id: str | None = None
    reason: Reason | None = None
    cause: Cause | None = None


type Ended = SessionEnded | SubjectSessionsEnded


@dataclass(frozen=True, slots=True)
class MassEnd:
    """All sessions of a provider that started at or before ``ended_at`` are over; with ``client_id``, only at that client.

    ``source_event_id`` is the mass logout's id. It is carried out as one end for each subject.
    """

    ended_at: int
    source_event_id: str
    client_id: str | None = None
    reason: Reason | None = None

    def of(self, sub: str) -> SubjectSessionsEnded:
        """Return the end of one subject's sessions."""
        return SubjectSessionsEnded(sub, self.ended_at, self.source_event_id, self.client_id, self.reason)

    def of_nobody(self, sid: str, client_id: str) -> SessionEnded:
        """Return the end of a session whose subject nobody knows, at the client that has it: of what started until then."""
        return SessionEnded(sid, self.ended_at, self.source_event_id, client_id, self.reason)


type SessionEvent = RpSessionStarted | Ended
type EventKind = Literal["rp_session_started", "session_ended", "subject_sessions_ended"]


def kind_of(event: SessionEvent) -> EventKind:
    """Return what an event is called where it is shown."""
    if isinstance(event, RpSessionStarted):
        return "rp_session_started"
    return "session_ended" if isinstance(event, SessionEnded) else "subject_sessions_ended"


def is_whole_session(event: Ended) -> bool:
    """Whether a whole provider session is over. Such an end covers all RP sessions in it, however late they are reported.

    A subject can log in again, also at one client within the same session. The other ends therefore cover only what started at or
    before them.
    """
    return isinstance(event, SessionEnded) and event.client_id is None


def logout_id(issuer: str, event: Ended) -> str:
    """Return the id of the logout that carries out this event. A repeated event gives the same id.

    A session ends once, so issuer and ``sid`` make its id, however many events report the end. A subject's sessions, and a
    client's part of a session, can end many times, so their id depends on the source's event id, too.
    """
    parts: list[str | None]
    if isinstance(event, SubjectSessionsEnded):
        parts = ["sub", issuer, event.sub, event.client_id, event.source_event_id]
    elif event.client_id is not None:
        parts = ["sid", issuer, event.sid, event.client_id, event.source_event_id]
    else:
        parts = ["sid", issuer, event.sid]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


def identifier(name: str, value: object) -> str:
    """Return ``value`` if it can be a ``sub``, ``sid`` or ``client_id``.

    The specifications ask for less: ``sub`` is ASCII of at most 255 characters (Core, section 2), ``client_id`` is printable
    ASCII (RFC 6749, appendix A.1), only ``sid`` may be any string. Providers send other texts, too, and a user whose ``sub`` was
    refused could never be logged out. So any text will do, but for control characters.

    Raises:
        IdentifierInvalidError: it cannot.

    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_IDENTIFIER:
        raise IdentifierInvalidError(f"{name} must be a string of 1 to {MAX_IDENTIFIER} characters")
    if _NO_TEXT.search(value):
        raise IdentifierInvalidError(f"{name} must hold no control characters and no half of a surrogate pair")
    return value


def subject(value: object) -> str:
    """Return ``value`` if it can be a ``sub``."""
    return identifier("sub", value)


def event_time(milliseconds: int, now: int) -> int:
    """Return an event's own time if it can be true, cut to the time of receipt.

    An end from a clock that is ahead would end logins that have not happened yet, and a start would escape its end.

    Raises:
        EventTimeInvalidError: later than ``now`` by more than clocks may differ, or so early that it must be in seconds.

    """
    if not EARLIEST <= milliseconds <= now + MAX_CLOCK_DIFFERENCE:
        raise EventTimeInvalidError("the event's time is in the future, or not in milliseconds since the epoch")
    return min(milliseconds, now)


def expiry_time(milliseconds: int) -> int:
    """Return the time when a session expires, if ISO 8601 can show it. Some providers write "never" as a very late time.

    Raises:
        ExpiryInvalidError: before the epoch, or after the year 9999.

    """
    if not 0 <= milliseconds <= MAX_EXPIRY:
        raise ExpiryInvalidError("expires_at is before the epoch or after the year 9999")
    return milliseconds
