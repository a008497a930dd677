"""No RP session escapes a logout, none that is newer is ended, and none is told twice: in whatever order, with whatever crashes.

Hypothesis chooses what happens and in which order; what it must never find, it does find as soon as a writer looks first.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from backchannel.clients import Client
from backchannel.fanout import RpSession, is_covered
from backchannel.outcomes import PENDING
from backchannel.session_events import (
    Ended,
    RpSessionStarted,
    SessionEnded,
    SessionEvent,
    SubjectSessionsEnded,
    logout_id,
)
from backchannel.sessions import Sessions
from local.client import Stack
from tests.stack.interleaving import Posted, Tables, Turn, Webhook, World, steps_of, taking_turns

SUB = "ada"
WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout", id_token_signed_response_alg="ES256")
MAIL = replace(WIKI, client_id="mail", backchannel_logout_session_required=True)
CLIENTS = (WIKI, MAIL)
EXAMPLES = 60
"""In `make test`; `make soak` takes the time it is given."""

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
EVENT_IDS = st.sampled_from(["e1", "e2"])
BEFORE = st.none() | st.sampled_from([9000, 6000, 3000])
STARTS = st.builds(Starts, CLIENT_IDS, SIDS | st.none())
ENDS = (
    st.builds(SessionEnds, SIDS, st.none() | CLIENT_IDS, EVENT_IDS)
    | st.builds(SubjectEnds, st.none(), EVENT_IDS)
    | st.builds(SubjectEnds, st.none() | CLIENT_IDS, EVENT_IDS)
)
TURNS = st.lists(st.builds(Turn, st.integers(0, 15), st.integers(0, 9)), max_size=12)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    happenings: list[Happening] = draw(
        st.lists(st.tuples(STARTS, BEFORE), min_size=1, max_size=4).flatmap(
            lambda starts: st.lists(st.tuples(ENDS, BEFORE), min_size=1, max_size=2).flatmap(
                lambda ends: st.permutations([*starts, *ends])
            )
        )
    )
    repeated = draw(st.booleans())
    if repeated:
        happenings = [*happenings, draw(st.sampled_from(happenings))]
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
        if session.sid is None and (session.client_id == MAIL.client_id or self._newer_at(session)):
            return True  # cannot be told: nobody knows its sid
        return any(
            posted.logout_id in covering
            and posted.client_id == session.client_id
            and posted.claims.get("sid", session.sid) == session.sid
            and posted.at >= session.started_at
            for posted in self.world.posted
        )

    def _newer_at(self, session: RpSession) -> bool:
        return any(kept.client_id == session.client_id for kept in self.kept)

    def _wrong_claims(self) -> Iterator[str]:
        """Look at the table: what is claimed is covered, and what is covered is claimed, on both items."""
        world = self.world
        by_subject = world.sessions.of_subject(world.issuer, SUB, after=None, limit=100, now=world.now()).sessions
        stored = [("subject", each) for each in by_subject]
        for sid in sorted({session.sid for session in self.sessions if session.sid is not None}):
            page = world.sessions.of_session(world.issuer, sid, after=None, limit=100, now=world.now())
            stored += [("session", each) for each in page.sessions]
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
        known = {start for start, webhook in self.starts if webhook.taken is not None and webhook.taken < posted.began}
        return [
            session
            for session in self.kept
            if session.client_id == posted.client_id
            and "sid" not in posted.claims
            and session.started_at > end.ended_at
            and RpSessionStarted(session.sub, session.client_id, session.started_at, session.sid) in known
        ]

    def _too_many(self) -> Iterator[str]:
        """Count tokens: one for each RP session, and one more for each attempt that died after its POST."""
        for client in CLIENTS:
            started = {(start.sid, start.started_at) for start, _ in self.starts if start.client_id == client.client_id}
            tokens = [posted for posted in self.world.posted if posted.client_id == client.client_id]
            died = [posted for posted in self.world.posted_in_vain if posted.client_id == client.client_id]
            if len(tokens) > len(started) + len(died):
                yield f"{len(tokens)} tokens for {len(started)} RP sessions: {tokens}"

    def _left_over(self) -> Iterator[str]:
        """Look for deliveries that nobody will attempt any more, unless a newer session took the place of theirs."""
        for name in self.end_of:
            for record in self.world.deliveries.all_of_logout(name):
                if record.status in PENDING and not any(kept.client_id == record.client_id for kept in self.kept):
                    yield f"left over: {record}"


# --- the promise ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns():
        yield tables_of(stack)


def tables_of(stack: Stack) -> Tables:
    """Return the stack's tables through a client each of whose calls is a step."""
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=stack.endpoint_url,
        region_name=stack.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    steps_of(dynamodb)
    return Tables(dynamodb, stack.tables["SessionsTable"], stack.tables["DeliveriesTable"])


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


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(scenario=scenarios())
def test_no_rp_session_escapes_none_is_told_twice_and_none_that_is_newer_is_ended(scenario: Scenario, tables: Tables) -> None:
    check(scenario, tables)
