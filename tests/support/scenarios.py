"""Sessions that start and end in an order that Hypothesis chooses, and what must never come of it."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hypothesis import note
from hypothesis import strategies as st

from backchannel.deliveries.outcomes import PENDING
from backchannel.providers.clients import Client
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEnded, SessionEvent, SubjectSessionsEnded, logout_id
from backchannel.sessions.rp_sessions import RpSession, is_covered
from backchannel.sessions.table import Sessions
from tests.support.interleaving import Posted, Tables, Turn, Webhook, World
from tests.support.recorded import all_of_logout

SUB = "ada"
WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout", id_token_signed_response_alg="ES256")
MAIL = replace(WIKI, client_id="mail", backchannel_logout_session_required=True)
CLIENTS = (WIKI, MAIL)
type Happening = tuple[Callable[[int], SessionEvent], int | None]
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

    def __call__(self, at: int) -> SessionEnded:
        return SessionEnded(self.sid, at, self.event_id, self.client_id)


@dataclass(frozen=True)
class SubjectEnds:
    client_id: str | None = None
    event_id: str = "end"

    def __call__(self, at: int) -> SubjectSessionsEnded:
        return SubjectSessionsEnded(SUB, at, self.event_id, self.client_id)


CLIENT_IDS = st.sampled_from(["wiki", "wiki", "mail"])
SIDS = st.sampled_from(["s1", "s2", "s3"])
BEFORE = st.none() | st.sampled_from([9000, 6000, 3000])
STARTS = st.builds(Starts, CLIENT_IDS, SIDS | st.none())
ENDS = (
    st.builds(SessionEnds, SIDS, st.none() | CLIENT_IDS)
    | st.builds(SubjectEnds, st.none())
    | st.builds(SubjectEnds, st.none() | CLIENT_IDS)
)
TURNS = st.lists(st.builds(Turn, st.integers(0, 15), st.integers(0, 9)), max_size=12)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    starts: list[tuple[Starts, int | None]] = draw(st.lists(st.tuples(STARTS, BEFORE), min_size=1, max_size=4))
    ends = draw(st.lists(st.tuples(ENDS, BEFORE), min_size=1, max_size=2))
    named: list[Happening] = [(replace(end, event_id=f"end-{n}"), before) for n, (end, before) in enumerate(ends)]
    happenings: list[Happening] = draw(st.permutations([*starts, *named]))
    if draw(st.booleans()):
        happenings = [*happenings, draw(st.sampled_from(happenings))]
    if draw(st.booleans()):  # somebody logs in anew in the same session
        anew: Happening = (replace(draw(st.sampled_from(starts))[0]), None)
        happenings = [*happenings, anew]
    return Scenario(happenings, draw(TURNS), draw(st.booleans()), draw(st.booleans()))


# --- what must never be seen ----------------------------------------------------------------------------------------------


def concerns(session: RpSession, end: Ended) -> bool:
    """Whether an end covers an RP session of whichever subject and session."""
    same = end.sid == session.sid if isinstance(end, SessionEnded) else end.sub == session.sub
    return same and is_covered(session, end)


class Seen:
    """What came of a scenario, and what is wrong with it."""

    def __init__(self, world: World) -> None:
        self.world = world
        happened = [(webhook.happened, webhook) for webhook in world.webhooks]
        self.ends = {event: logout_id(world.issuer, event) for event, _ in happened if not isinstance(event, RpSessionStarted)}
        self.end_of = {name: end for end, name in self.ends.items()}
        self.starts = world.starts
        latest: dict[tuple[str, str | None], RpSessionStarted] = {}
        for start, _ in self.starts:
            found = latest.setdefault((start.client_id, start.sid), start)
            if start.started_at > found.started_at:
                latest[start.client_id, start.sid] = start
        self.sessions = [RpSession(each.client_id, each.sub, each.started_at, each.sid) for each in latest.values()]
        self.kept = [session for session in self.sessions if not any(concerns(session, end) for end in self.ends)]

    @property
    def wrongs(self) -> list[str]:
        return [
            *(f"escaped: {session}" for session in self.sessions if session not in self.kept and not self._is_told(session)),
            *self._wrong_claims(),
            *(f"ended {newer} by {posted}" for posted in self.world.posted for newer in self._known_newer(posted)),
            *self._too_many(),
            *self._left_over(),
        ]

    def _is_told(self, session: RpSession) -> bool:
        covering = {name for end, name in self.ends.items() if concerns(session, end)}
        if session.sid is None and (session.client_id == MAIL.client_id or self._has_newer_beside(session)):
            return True  # cannot be told: it has no sid
        return any(
            posted.logout_id in covering
            and posted.client_id == session.client_id
            and posted.claims.get("sid", session.sid) == session.sid
            and posted.at >= session.started_at
            for posted in self.world.posted
        )

    def _has_newer_beside(self, session: RpSession) -> bool:
        at_client = (each for each in self.sessions if each.client_id == session.client_id)
        return any(each.started_at > session.started_at for each in at_client)

    def _wrong_claims(self) -> Iterator[str]:
        """Look at the table: what is claimed is covered, and what is covered is claimed, on both items."""
        world = self.world
        by_subject = world.sessions.of_subject(world.issuer, SUB, after=None, limit=100, now=world.now()).items
        stored = [("subject", each) for each in by_subject]
        for sid in sorted({session.sid for session in self.sessions if session.sid is not None}):
            page = world.sessions.of_session(world.issuer, sid, after=None, limit=100, now=world.now())
            stored += [("session", each) for each in page.items]
        if len(stored) != len(self.sessions) + sum(session.sid is not None for session in self.sessions):
            yield f"stored: {stored}"
        for kind, session in stored:
            covering = {name for end, name in self.ends.items() if concerns(session, end)}
            if (session.ended_by in covering) if session.ended_by else not covering:
                continue
            yield f"by {kind}: {session}, which is covered by {covering}"

    def _known_newer(self, posted: Posted) -> list[RpSession]:
        """Return sessions that no end covers, that were known when the attempt began, and that its token ends."""
        end = self.end_of[posted.logout_id]
        known = {start for start, webhook in self.starts if webhook.taken is not None and webhook.taken <= posted.began}
        return [
            session
            for session in self.kept
            if session.client_id == posted.client_id
            and posted.claims.get("sid", session.sid) == session.sid
            and session.started_at > end.ended_at
            and RpSessionStarted(session.sub, session.client_id, session.started_at, session.sid) in known
        ]

    def _too_many(self) -> Iterator[str]:
        """Count tokens: one for each RP session, and one more for each attempt that died after its POST.

        When a delivery gave way to newer logins, and these ended meanwhile, a run that is repeated may tell an RP once more.
        """
        for client in CLIENTS:
            started = {(start.sid, start.started_at) for start, _ in self.starts if start.client_id == client.client_id}
            tokens = [posted for posted in self.world.posted if posted.client_id == client.client_id]
            most = len(started) + len([posted for posted in self.world.posted_in_vain if posted.client_id == client.client_id])
            if client is WIKI and any("sid" in each.claims and self.end_of_subject(each) for each in tokens):
                most += self.world.interruptions
            if len(tokens) > most:
                yield f"{len(tokens)} tokens for {len(started)} RP sessions: {tokens}"

    def end_of_subject(self, posted: Posted) -> bool:
        return isinstance(self.end_of[posted.logout_id], SubjectSessionsEnded)

    def _left_over(self) -> Iterator[str]:
        """Look for deliveries that nobody will attempt any more.

        Without a sweep one may be left beside a newer session: when two copies of a message are worked on at once, an attempt
        between them gives way to that session, and the slower copy begins the delivery anew and dies.
        """
        unswept = {kept.client_id for kept in self.kept} if not self.world.sweeps else set()
        for name in self.end_of:
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
    assert wrongs == []
