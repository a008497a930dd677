"""What a mass logout is, and whom it reaches. Pure.

Reader, releases and progress share these: an ``Entry`` is one logout of the mass logout, a ``Work`` is a chunk of entries that is
still to be released or to be settled, a ``MassCounts`` is what is counted.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backchannel.logouts.mass.pacing import Pace
from backchannel.reasons import Reason, is_emergency
from backchannel.sessions.events import Ended, MassEnd
from backchannel.sessions.rp_sessions import RpSession, end_in_mass, is_covered

type State = Literal["running", "paused", "cancelled", "finished"]

type MassCounts = Counter[str]
"""How many of what: the names below, and ``<status> <client_id>`` (deliveries)."""

FOUND_SUBJECTS, FOUND_SESSIONS = "found subjects", "found sessions"
RELEASED_SUBJECTS, RELEASED_SESSIONS = "released subjects", "released sessions"
FANNED_OUT, LOST = "fanned_out", "lost"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose sessions end: those of a provider, of one of its clients, of a list of subjects."""

    issuer: str
    client_id: str | None = None
    subjects: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The same for the same scope."""
        subjects = None if self.subjects is None else sorted(self.subjects)
        return hashlib.sha256(json.dumps([self.issuer, self.client_id, subjects]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """Who asked for what, when; ``at`` in milliseconds since the epoch."""

    at: int
    by: str
    what: str


@dataclass(frozen=True, slots=True)
class MassLogout:
    """One operator's request; times in milliseconds since the epoch.

    ``ended_at`` is the latest time of a login that it ends, ``subjects`` how many were listed, None for all. ``rate`` and
    ``client_rate`` are tokens a second, in all and for each client. ``turn`` is that of the message that works on it next.
    ``finished_at`` is when everything that was released was settled.
    """

    mass_logout: str
    provider: str
    issuer: str
    scope: str
    ended_at: int
    created_at: int
    reason: Reason
    rate: int
    client_rate: int
    requested_by: str
    client_id: str | None = None
    subjects: int | None = None
    note: str | None = None
    started_before: int | None = None
    state: State = "running"
    history: tuple[Change, ...] = ()
    turn: int = 1
    pace: Pace = field(default_factory=Pace)
    finished_at: int | None = None

    @property
    def end(self) -> MassEnd:
        """What it means to a session."""
        return MassEnd(self.ended_at, self.mass_logout, self.client_id, self.reason)


@dataclass(frozen=True, slots=True)
class Entry:
    """One logout: of a subject, or where that is unknown of a session at its one client.

    ``sids``: the clients of its RP sessions, each with how many ``sid`` these have.
    """

    sub: str | None
    sid: str | None = None
    sids: Mapping[str, int] = field(default_factory=dict)
    sessions: int = 0

    def end(self, mass: MassEnd) -> Ended:
        """Return the end that is carried out."""
        return mass.of_nobody(self.sid, next(iter(self.sids))) if self.sid is not None else mass.of(self.sub or "")


@dataclass(frozen=True, slots=True)
class Work:
    """A chunk of entries of which the first ``sent`` are released, and those in ``left`` are not settled.

    ``settled`` is the tally of those that are, ``counted`` the tally of all when they were looked at last. The next look is due
    at ``look_at``, and the one after it ``wait`` milliseconds later if nothing has changed. ``released_at`` is the last release.
    """

    segment: int
    number: int
    size: int
    sent: int = 0
    left: tuple[int, ...] = ()
    settled: MassCounts = field(default_factory=Counter)
    counted: MassCounts = field(default_factory=Counter)
    look_at: int = 0
    wait: int = 0
    released_at: int = 0
    version: int = 0

    @property
    def is_under_way(self) -> bool:
        """Whether there are entries that are released and not settled."""
        return bool(self.left) and self.left[0] < self.sent

    @property
    def under_way(self) -> list[int]:
        """Return the entries that are released and not settled."""
        return [index for index in self.left if index < self.sent]


@dataclass(frozen=True, slots=True)
class Totals:
    """What is counted in all; ``is_read`` once everybody is found."""

    tally: MassCounts = field(default_factory=Counter)
    is_read: bool = False
    version: int = 0


def entries(sessions: Iterable[RpSession], mass: MassEnd, after: str | None) -> list[Entry]:
    """Return the logouts that RP sessions need, those of one subject together; ``after`` is the subject that was the last before.

    RP sessions that another logout has taken care of are told again as by any end: in an emergency, or for another reason.
    """
    subjects: dict[str, list[RpSession]] = {}
    found: list[Entry] = []
    for session in sessions:
        if not is_meant(session, mass) or (session.sub and session.sub == after):
            continue
        if session.sub:
            subjects.setdefault(session.sub, []).append(session)
        else:
            found.append(Entry(None, session.sid, {session.client_id: 1}, 1))
    return found + [of_subject(sub, those) for sub, those in subjects.items()]


def of_subject(sub: str, sessions: Sequence[RpSession]) -> Entry:
    """Return the logout of a subject with these RP sessions."""
    sids: dict[str, set[str]] = {}
    for each in sessions:
        sids.setdefault(each.client_id, set()).update(() if each.sid is None else (each.sid,))
    return Entry(sub, None, {client_id: len(known) for client_id, known in sids.items()}, len(sessions))


def is_meant(session: RpSession, mass: MassEnd) -> bool:
    """Whether a mass logout has to look after an RP session."""
    if not is_covered(session, end_in_mass(session, mass)):
        return False
    reason = mass.reason or Reason.LOGOUT
    return session.ended_by is None or is_emergency(reason) or (session.reason or Reason.LOGOUT) is not reason
