"""No RP session escapes a logout, none that is newer is ended, and none is told twice: in whatever order, with whatever crashes.

Hypothesis chooses what happens and in which order; what it must never find, it does find as soon as a writer looks first.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from backchannel.aws.dynamodb import Page
from backchannel.deliveries import addressing
from backchannel.deliveries.addressing import Named
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, RpSessionStarted
from backchannel.sessions.items import SessionItem, mass_tombstone_key
from backchannel.sessions.rp_sessions import RpSession, has_newer_login
from backchannel.sessions.table import Claim, Sessions
from local.client import Stack
from tests.support.interleaving import Tables, Turn, own_sessions, tables_of, taking_turns
from tests.support.scenarios import (
    AllEnd,
    Happening,
    Scenario,
    Seen,
    SessionEnds,
    Starts,
    SubjectEnds,
    check,
    mass_scenarios,
    scenarios,
)

pytestmark = pytest.mark.inside

EXAMPLES = 60
MASS_EXAMPLES = 25
"""In `make test`; `make soak` takes the time it is given."""

STABLE = settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
"""The same examples in every run."""


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns():
        yield tables_of(stack)


@settings(STABLE, max_examples=EXAMPLES)
@given(scenario=scenarios())
def test_no_rp_session_escapes_none_is_told_twice_and_none_that_is_newer_is_ended(scenario: Scenario, tables: Tables) -> None:
    check(scenario, tables)


class StoresMany(Sessions):
    """A start is stored as those of a batch are."""

    def start(self, issuer: str, started: RpSessionStarted, now: int) -> Ended | None:
        return next((end for _, end in self.start_many(issuer, [started], now)), None)


@settings(STABLE, max_examples=EXAMPLES)
@given(scenario=scenarios())
def test_the_same_holds_for_starts_that_come_in_batches(scenario: Scenario, tables: Tables) -> None:
    check(replace(scenario, sessions_class=StoresMany), tables)


@pytest.fixture(scope="module")
def own_tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns(), own_sessions(stack) as tables:
        yield tables


@settings(STABLE, max_examples=MASS_EXAMPLES)
@given(scenario=mass_scenarios())
def test_the_same_holds_for_mass_logouts_of_a_provider_or_a_client(scenario: Scenario, own_tables: Tables) -> None:
    check(scenario, own_tables)


# --- teeth: with a write and a look the other way round, the same search finds a session that escaped -------------------


class LooksFirst(Sessions):
    """A start looks for tombstones before it writes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._of_thread = threading.local()

    def start(self, issuer: str, started: RpSessionStarted, now: int) -> Ended | None:
        session = RpSession(started.client_id, started.sub, started.started_at, started.sid)
        self._of_thread.seen = super()._tombstones(issuer, [session])
        return super().start(issuer, started, now)

    def _tombstones(self, issuer: str, sessions: Sequence[RpSession]) -> dict[tuple[str, str], SessionItem]:  # noqa: ARG002
        seen: dict[tuple[str, str], SessionItem] = self._of_thread.seen
        return seen


class QueriesFirst(Sessions):
    """An end looks for RP sessions before it writes its tombstone."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._of_thread = threading.local()

    def end(self, issuer: str, event: Ended, now: int) -> None:
        self._of_thread.put_off = (issuer, event, now)

    def page(self, *arguments: Any, **options: Any) -> Page[RpSession]:
        page = super().page(*arguments, **options)
        if put_off := self._of_thread.__dict__.pop("put_off", None):
            super().end(*put_off)
        return page


class SeesNothingNewer(Sessions):
    """An attempt does not hear of logins that are newer than what its token is about."""

    def page(
        self, issuer: str, event: Ended, *, client_id: str | None, after: str | None, limit: int, now: int
    ) -> Page[RpSession]:
        page = super().page(issuer, event, client_id=client_id, after=after, limit=limit, now=now)
        return replace(page, items=[session for session in page.items if not has_newer_login(session, event)])


class ClaimsAll(Sessions):
    """A run takes RP sessions that another has."""

    def claim(self, issuer: str, session: RpSession, event: Ended, claim: Claim, now: int) -> RpSession:
        return super().claim(issuer, session, event, claim, now) or session


class ForgetsOlderLogins(Sessions):
    """A login hides the older ones in its session."""

    def _start(self, item: Any, session: RpSession, now: int) -> None:
        super()._start(item, session, now)
        item.update([type(item).logged_in_since.set(type(item).started_at)])


class EndsLaterLogins(Sessions):
    """An end takes the login that came after it, too."""

    def _claim_item(self, item: Any, session: RpSession, event: Ended, claim: Claim, now: int) -> bool:
        return super()._claim_item(item, session, replace(event, ended_at=event.ended_at + HOUR), claim, now)


class SeesNoMassLogout(Sessions):
    """A start does not look at the tombstone of a mass logout."""

    def _tombstones(self, issuer: str, sessions: Sequence[RpSession]) -> dict[tuple[str, str], SessionItem]:
        found = super()._tombstones(issuer, sessions)
        return {names: item for names, item in found.items() if names != mass_tombstone_key(issuer, None)}


class AlwaysBoth:
    """A token names ``sub`` beside ``sid``, whatever else the user has begun."""

    SUB = Named.SUB
    SID = SUB_AND_SID = Named.SUB_AND_SID


HOUR = 3_600_000
START: Happening = (Starts("wiki", "s1"), 12_000)
SESSION_ENDS: Happening = (SessionEnds("s1"), None)
ENDED_BEFORE: Happening = (SessionEnds("s1"), 9000)
SUBJECT_ENDS: Happening = (SubjectEnds(), None)
SUBJECT_ENDED_BEFORE: Happening = (SubjectEnds(reason=Reason.COMPROMISED), 6000)
CLIENT_ENDS: Happening = (SessionEnds("s1", "wiki"), None)
ALL_END: Happening = (AllEnd(), None)
START_ANEW: Happening = (Starts("wiki", "s1"), None)
BY_ITSELF: list[list[Turn]] = [[]]
MISTAKES: dict[type[Sessions], tuple[str, list[Happening], list[list[Turn]]]] = {
    # the end comes while the start is between two of its steps
    LooksFirst: ("escaped", [START, SESSION_ENDS], [[Turn(after, 0)] for after in range(5)]),
    # the start comes while the end's fan-out is between two of its steps
    QueriesFirst: ("escaped", [SESSION_ENDS, START], [[Turn(2, 1), Turn(after, 0)] for after in range(7)]),
    # a newer login comes between the end's fan-out and the delivery's attempt
    SeesNothingNewer: ("ended Login", [START, CLIENT_ENDS, START_ANEW], [[Turn(after, 1)] for after in range(4, 8)]),
    # a late start comes after a mass logout has read the table
    SeesNoMassLogout: ("escaped", [ALL_END, START], [[Turn(after, 1)] for after in range(2, 6)]),
    # one end's fan-out comes while the other's is between two of its steps
    ClaimsAll: ("2 tokens for 1", [START, SESSION_ENDS, SUBJECT_ENDS], [[Turn(after, 0)] for after in range(9, 16)]),
    # somebody logged in again in the same session before the end of the first login is reported
    ForgetsOlderLogins: ("escaped", [START, START_ANEW, SUBJECT_ENDED_BEFORE], BY_ITSELF),
    # an identity provider uses a session's id again, and reports the end of the first one late
    EndsLaterLogins: ("which is covered by set()", [START, START_ANEW, ENDED_BEFORE], BY_ITSELF),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_search_finds_a_mistake_in_the_table(mistake: type[Sessions], own_tables: Tables) -> None:
    wrong, happenings, courses = MISTAKES[mistake]

    def wrongs(sessions_class: type[Sessions]) -> list[str]:
        scenarios = [Scenario(happenings, turns, sweeps=False, sessions_class=sessions_class) for turns in courses]
        return [one for scenario in scenarios for one in Seen(scenario.run(own_tables)).wrongs]

    assert any(wrong in one for one in wrongs(mistake))
    assert wrongs(Sessions) == []


CHAT_STARTS: Happening = (Starts("chat", None), 12_000)
CHAT_STARTS_ANEW: Happening = (Starts("chat", None), None)
ANOTHER_START: Happening = (Starts("wiki", "s2"), None)


@pytest.mark.parametrize(
    ("name", "instead", "wrong", "happenings"),
    [
        ("is_emergency", lambda _: False, "escaped", [CHAT_STARTS, CHAT_STARTS_ANEW, SUBJECT_ENDED_BEFORE]),
        (
            "is_emergency",
            lambda reason: reason == "logout",
            "ended Login",
            [CHAT_STARTS, CHAT_STARTS_ANEW, (SubjectEnds(), 6000)],
        ),
        ("Named", AlwaysBoth, "ended Login", [START, ANOTHER_START, ENDED_BEFORE]),
    ],
    ids=["an emergency gives way", "a mere logout does not", "sub beside sid"],
)
def test_the_search_finds_a_token_that_names_the_wrong_login(
    name: str,
    instead: object,
    wrong: str,
    happenings: list[Happening],
    *,
    tables: Tables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = Scenario(happenings, [], sweeps=False)
    assert Seen(scenario.run(tables)).wrongs == []

    monkeypatch.setattr(addressing, name, instead)

    assert any(wrong in one for one in Seen(scenario.run(tables)).wrongs)
