"""Sessions that start and end in an order that Hypothesis chooses, and what must never come of it (docs/sessions.md)."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hypothesis import note
from hypothesis import strategies as st

from backchannel.deliveries.outcomes import PENDING
from backchannel.providers.clients import Client
from backchannel.reasons import Reason, is_emergency
from backchannel.sessions.events import (
    Ended,
    MassEnd,
    RpSessionStarted,
    SessionEnded,
    SessionEvent,
    SubjectSessionsEnded,
    logout_id,
)
from backchannel.sessions.rp_sessions import RpSession, is_covered, last_covered
from backchannel.sessions.table import Sessions
from tests.support.interleaving import Posted, Tables, Turn, Webhook, World
from tests.support.recorded import all_of_logout

SUB = "ada"
WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout", id_token_signed_response_alg="ES256")
MAIL = replace(WIKI, client_id="mail", backchannel_logout_session_required=True)
CHAT = replace(WIKI, client_id="chat", subject="sub_only")
CLIENTS = (WIKI, MAIL, CHAT)
type Happening = tuple[Callable[[int], SessionEvent | MassEnd], int | None]
"""An event without its time, and how long before the first step it happened; None: when it is sent."""


@dataclass(frozen=True)
class Scenario:
    """What happens, and where its course is interrupted."""

    happenings: list[Happening]
    turns: list[Turn]
    impatient: bool = False
    sweeps: bool = True
    sessions_class: type[Sessions] = field(default=Sessions, repr=False)

    def run(self, tables: Tables) -> World:
        issuer = f"https://idp.example/{uuid.uuid4()}"
        began = round(time.time() * 1000)
        webhooks = [Webhook(event, None if before is None else began - before) for event, before in self.happenings]
        world = World(tables, issuer, began, CLIENTS, webhooks, self.turns, self.impatient, self.sweeps, self.sessions_class)
        return world.run()


# --- what may happen ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Starts:
    client_id: str
    sid: str | None

    def __call__(self, at: int) -> RpSessionStarted:
        return RpSessionStarted(SUB, self.client_id, at, self.sid)


@dataclass(frozen=True)
class SessionEnds:
    sid: str
    client_id: str | None = None
    event_id: str = "end"
    reason: Reason = Reason.LOGOUT

    def __call__(self, at: int) -> SessionEnded:
        return SessionEnded(self.sid, at, self.event_id, self.client_id, self.reason)


@dataclass(frozen=True)
class SubjectEnds:
    client_id: str | None = None
    event_id: str = "end"
    reason: Reason = Reason.LOGOUT

    def __call__(self, at: int) -> SubjectSessionsEnded:
        return SubjectSessionsEnded(SUB, at, self.event_id, self.client_id, self.reason)


@dataclass(frozen=True)
class AllEnd:
    """An operator asks for a mass logout, of whoever logged in until then."""

    client_id: str | None = None
    event_id: str = "end"
    reason: Reason = Reason.ADMIN_LOGOUT

    def __call__(self, at: int) -> MassEnd:
        return MassEnd(at, self.event_id, self.client_id, self.reason)


CLIENT_IDS = st.sampled_from(["wiki", "wiki", "wiki", "mail", "mail", "chat"])
SIDS = st.sampled_from(["s1", "s2", "s3"])
BEFORE = st.none() | st.sampled_from([12_000, 9000, 6000, 3000, -3000])
"""Further apart than a login may follow the end of its own session, or nearer; -3000: by a clock that is ahead."""

REASONS = st.sampled_from([Reason.LOGOUT, Reason.LOGOUT, Reason.COMPROMISED, Reason.EXPIRED])
STARTS = st.builds(Starts, CLIENT_IDS, SIDS | st.none())
ENDS = (
    st.builds(SessionEnds, SIDS, st.none() | CLIENT_IDS, reason=REASONS)
    | st.builds(SubjectEnds, st.none(), reason=REASONS)
    | st.builds(SubjectEnds, st.none() | CLIENT_IDS, reason=REASONS)
)
MASS_ENDS = st.builds(AllEnd, st.none() | CLIENT_IDS, reason=REASONS)
TURNS = st.lists(st.builds(Turn, st.integers(0, 15), st.integers(0, 9)), max_size=12)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    return drawn(draw, ENDS)


@st.composite
def mass_scenarios(draw: st.DrawFn) -> Scenario:
    """Draw scenarios whose ends are mass logouts, beside others."""
    return drawn(draw, MASS_ENDS | MASS_ENDS | ENDS)


def drawn(draw: st.DrawFn, of_ends: st.SearchStrategy[SessionEnds | SubjectEnds | AllEnd]) -> Scenario:
    starts: list[tuple[Starts, int | None]] = draw(st.lists(st.tuples(STARTS, BEFORE), min_size=1, max_size=4))
    ends = draw(st.lists(st.tuples(of_ends, BEFORE), min_size=1, max_size=2))
    named: list[Happening] = [(replace(end, event_id=f"end-{n}"), before) for n, (end, before) in enumerate(ends)]
    happenings: list[Happening] = draw(st.permutations([*starts, *named]))
    if draw(st.booleans()):
        happenings = [*happenings, draw(st.sampled_from(happenings))]
    if draw(st.booleans()):  # somebody logs in anew in the same session
        anew: Happening = (replace(draw(st.sampled_from(starts))[0]), None)
        happenings = [*happenings, anew]
    return Scenario(happenings, draw(TURNS), draw(st.booleans()), draw(st.booleans()))


# --- what must never be seen ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Login:
    """Somebody logged in at a client: one of the logins that fall on one RP session."""

    client_id: str
    sid: str | None
    at: int

    @property
    def session(self) -> RpSession:
        return RpSession(self.client_id, SUB, self.at, self.sid)


def concerns(login: Login, end: Ended) -> bool:
    """Whether an end covers a login, of whichever subject and session that is."""
    same = end.sid == login.sid if isinstance(end, SessionEnded) else True
    return same and is_covered(login.session, end)


class Seen:
    """What came of a scenario, and what is wrong with it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ends = {event: logout_id(world.issuer, event) for event in world.ends}
        self.logins = list(dict.fromkeys(Login(each.client_id, each.sid, each.started_at) for each, _ in world.starts))
        self.kept = [login for login in self.logins if not any(concerns(login, end) for end in self.ends)]

    @property
    def wrongs(self) -> list[str]:
        return [
            *(f"escaped: {login}" for login in self.logins if login not in self.kept and not self._is_told(login)),
            *self._wrong_items(),
            *(f"ended {newer} by {posted}" for posted in self.world.posted for newer in self._wrongly_ended(posted)),
            *self._too_many(),
            *self._left_over(),
        ]

    def _is_told(self, login: Login) -> bool:
        """Whether a token told of it, or none could without ending a newer login for no good reason."""
        covering = [end for end in self.ends if concerns(login, end)]
        if login.sid is None and login.client_id == MAIL.client_id:
            return True  # cannot be told: it has no sid
        if all(self._is_excused(login, end) for end in covering):
            return True
        names = {self.ends[end] for end in covering}
        return any(
            posted.logout_id in names
            and posted.client_id == login.client_id
            and posted.claims.get("sid", login.sid) == login.sid
            and posted.at >= login.at
            for posted in self.world.posted
        )

    def _is_excused(self, login: Login, end: Ended) -> bool:
        """Whether an end that is no emergency gives way to a newer login, from which no token can tell the older one."""
        if end.reason is Reason.EXPIRED:
            return True  # no client wants to hear of it
        if is_emergency(end.reason):
            return False
        reach = None if login.client_id == CHAT.client_id else login.sid
        return any(
            newer.client_id == login.client_id and reach in {None, newer.sid} and newer.at > last_covered(end)
            for newer in self.logins
        )

    def _wrong_items(self) -> Iterator[str]:
        """Look at the table: an item is claimed if its latest login is covered, and else waits for nothing older."""
        world = self.world
        by_subject = world.sessions.of_subject(world.issuer, SUB, after=None, limit=100, now=world.now()).items
        stored = [("subject", each) for each in by_subject]
        for sid in sorted({login.sid for login in self.logins if login.sid is not None}):
            page = world.sessions.of_session(world.issuer, sid, after=None, limit=100, now=world.now())
            stored += [("session", each) for each in page.items]
        sessions = {(login.client_id, login.sid) for login in self.logins}
        if len(stored) != len(sessions) + sum(sid is not None for _, sid in sessions):
            yield f"stored: {stored}"
        for kind, session in stored:
            latest = Login(session.client_id, session.sid, session.started_at)
            covering = {name for end, name in self.ends.items() if concerns(latest, end)}
            if (session.ended_by not in covering) if session.ended_by else covering:
                yield f"by {kind}: {session}, which is covered by {covering}"
            for end in self.ends:
                same = end.sid == session.sid if isinstance(end, SessionEnded) else True
                if same and session.ended_by is None and is_covered(session, end):
                    yield f"by {kind}: older logins in {session} wait for {end}"

    def _wrongly_ended(self, posted: Posted) -> list[Login]:
        """Return logins that no end covers, that were known when the attempt began, and that its token ends needlessly.

        A token with ``sub`` ends them all, if the RP lets ``sub`` win. In an emergency, a token that could not name less may.
        """
        end = next(end for end, name in self.ends.items() if name == posted.logout_id)
        is_urgent = is_emergency(end.reason)
        taken = [start for start, webhook in self.world.starts if webhook.taken is not None and webhook.taken <= posted.began]
        known = {(start.client_id, start.sid, start.started_at) for start in taken}
        names_both = {"sub", "sid"} <= posted.claims.keys()
        return [
            login
            for login in self.kept
            if login.client_id == posted.client_id
            and ("sub" in posted.claims or posted.claims["sid"] == login.sid)
            and not (is_urgent and not names_both)
            and all(login.at > last_covered(each) for each, name in self.ends.items() if name == posted.logout_id)
            and (login.client_id, login.sid, login.at) in known
        ]

    def _too_many(self) -> Iterator[str]:
        """Count tokens: one for each login, and one more for each attempt that died after its POST.

        When a delivery gave way to newer logins, and these ended meanwhile, a run that is repeated may tell an RP once more.
        """
        for client in CLIENTS:
            started = {login for login in self.logins if login.client_id == client.client_id}
            tokens = [posted for posted in self.world.posted if posted.client_id == client.client_id]
            most = len(started) + len([posted for posted in self.world.posted_in_vain if posted.client_id == client.client_id])
            if client is WIKI and any("sid" in each.claims and self.end_of_subject(each) for each in tokens):
                most += self.world.interruptions
            if len(tokens) > most:
                yield f"{len(tokens)} tokens for {len(started)} RP sessions: {tokens}"

    def end_of_subject(self, posted: Posted) -> bool:
        return any(isinstance(end, SubjectSessionsEnded) for end, name in self.ends.items() if name == posted.logout_id)

    def _left_over(self) -> Iterator[str]:
        """Look for deliveries that nobody will attempt any more.

        Without a sweep one may be left beside a newer session: when two copies of a message are worked on at once, an attempt
        between them gives way to that session, and the slower copy begins the delivery anew and dies.
        """
        unswept = {kept.client_id for kept in self.kept} if not self.world.sweeps else set()
        for name in dict.fromkeys(self.ends.values()):
            for record in all_of_logout(self.world.deliveries, name):
                if record.status in PENDING and record.client_id not in unswept:
                    yield f"left over: {record}"


def check(scenario: Scenario, tables: Tables) -> None:
    """Run a scenario.

    Raises:
        AssertionError: the promise is broken; the note tells how.

    """
    world = scenario.run(tables)
    wrongs = Seen(world).wrongs
    if wrongs:
        note("\n".join(world.trace))
        raise AssertionError("\n".join(wrongs))
