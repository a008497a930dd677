"""A mass logout whose run is killed at any of its calls misses nobody, tells nobody twice, and counts exactly.

It also ends, whatever becomes of its messages.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from unittest import mock

import pytest

from backchannel.errors import ConflictError
from backchannel.logouts.mass.messages import MassLogoutMessage
from backchannel.logouts.mass.progress import LOST_AFTER
from backchannel.logouts.mass.records import Change, MassLogout
from backchannel.logouts.mass.table import MOST_CHANGES
from backchannel.providers.clients import Client
from backchannel.reasons import Reason
from backchannel.sessions.events import MassEnd, RpSessionStarted, SubjectSessionsEnded
from local.client import Stack
from tests.support.interleaving import Held, Tables, Task, World, own_sessions, taking_turns
from tests.support.scenarios import CHAT, WIKI

pytestmark = pytest.mark.inside

CALLS = 16
"""Of the first turn of a mass logout of two subjects in two chunks; both are released at once."""


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns(), own_sessions(stack) as tables, mock.patch("backchannel.logouts.mass.chunks.CHUNK", 1):
        yield tables


@pytest.fixture
def world(tables: Tables) -> World:
    """Return a provider with three subjects, each with an RP session at either of two clients."""
    return crowd(tables, ("ada", "bob", "eve"), (WIKI, CHAT))


def crowd(tables: Tables, subjects: Sequence[str], clients: Sequence[Client]) -> World:
    world = World(tables, f"https://idp.example/{uuid.uuid4()}", round(time.time() * 1000), clients, [], [])
    starts = [RpSessionStarted(sub, each.client_id, world.began - 9000, f"s-{sub}") for sub in subjects for each in clients]
    world.intake.take(world.provider, starts, world.now())
    return world


def ask_for(world: World, rate: int = 10_000) -> MassLogout:
    return world.ask_for(MassEnd(world.now(), "", None, Reason.COMPROMISED), rate=rate)


def turn(world: World) -> Task:
    """Return a turn that stands before its first call; its message comes again, as if it were killed."""
    held = world.to_work.held.pop()
    world.to_work.held.append(Held(held.body, world.now() + 30_000))
    task = Task("turn", lambda: world.mass_runner.run(MassLogoutMessage.from_json(held.body)))
    task.go_on()
    return task


def released_some(world: World, then: Callable[[], object]) -> None:
    """Let a turn begin to release, do something then, and let it end."""
    working = turn(world)
    working.go_to("SendMessageBatch")
    working.go_on()
    then()
    working.finish()
    world.to_work.held = [held for held in world.to_work.held if held.due < world.now() + 30_000]  # its own is deleted


def told(world: World) -> Counter[tuple[str, str]]:
    """Return how often each subject's client was told."""
    return Counter((posted.claims["sub"], posted.client_id) for posted in world.posted)


def check(world: World, mass: MassLogout, subjects: Sequence[str], clients: Sequence[Client]) -> None:
    (stored,) = world.masses
    totals = world.chunks.totals(mass.mass_logout).tally
    number = len(subjects) * len(clients)
    assert told(world) == Counter((sub, each.client_id) for sub in subjects for each in clients)
    assert stored.state == "finished"
    assert +totals == Counter(
        {
            "found subjects": len(subjects),
            "found sessions": number,
            "fanned_out": len(subjects),
            "released subjects": len(subjects),
            "released sessions": number,
            **{f"accepted {each.client_id}": len(subjects) for each in clients},
        }
    )
    assert list(world.chunks.work(mass.mass_logout)) == []


@pytest.mark.parametrize("calls", range(CALLS))
def test_a_turn_that_is_killed_before_any_of_its_calls_misses_nobody(tables: Tables, calls: int) -> None:
    world = crowd(tables, ("ada", "bob"), (WIKI,))
    mass = ask_for(world)
    killed = turn(world)
    for _ in range(calls):
        killed.go_on()
    assert not killed.finished
    killed.go_on(doomed=True)

    world.run()

    check(world, mass, ("ada", "bob"), (WIKI,))


def test_two_turns_at_a_time_release_and_count_each_once(world: World) -> None:
    mass = ask_for(world)
    slow = turn(world)
    for _ in range(8):
        slow.go_on()
    world.run()
    slow.finish()
    world.run()

    check(world, mass, ("ada", "bob", "eve"), (WIKI, CHAT))


def test_a_message_of_an_earlier_turn_does_nothing(world: World) -> None:
    mass = ask_for(world)
    (old,) = world.to_work.held
    world.run()
    steps = world.steps

    world.to_work.held.append(old)
    world.run()

    assert world.steps - steps < 6
    check(world, mass, ("ada", "bob", "eve"), (WIKI, CHAT))


def test_a_paused_mass_logout_keeps_no_message_and_a_resumed_one_goes_on(world: World) -> None:
    mass, change = ask_for(world, rate=1), Change(world.now(), "arn", "test")
    released_some(world, lambda: world.mass_logouts.pause(mass, change))
    world.run()
    assert 0 < told(world).total() < 6
    assert world.to_work.held == []

    resumed = world.mass_logouts.resume(mass, change)
    world.to_work.held = [Held(MassLogoutMessage(mass.mass_logout, resumed.turn + 1).to_json())]
    world.run()

    check(world, mass, ("ada", "bob", "eve"), (WIKI, CHAT))


def test_a_cancelled_mass_logout_finishes_what_it_has_released_and_frees_its_scope(world: World) -> None:
    mass, change = ask_for(world, rate=1), Change(world.now(), "arn", "test")
    released_some(world, lambda: world.mass_logouts.cancel(mass, change))
    world.run()

    totals = world.chunks.totals(mass.mass_logout).tally
    assert totals["found subjects"] == 3
    assert 0 < totals["released sessions"] == told(world).total() < 6
    assert [(each.state, each.finished_at is not None) for each in world.masses] == [("cancelled", True)]
    assert ask_for(world).mass_logout != mass.mass_logout


def test_a_new_one_of_the_scope_starts_at_once_after_a_cancel_that_is_not_finished(world: World) -> None:
    first, change = ask_for(world, rate=1), Change(world.now(), "arn", "test")
    released_some(world, lambda: world.mass_logouts.cancel(first, change))

    second = ask_for(world)

    assert second.mass_logout != first.mass_logout
    assert world.mass_logouts.get(first.mass_logout).finished_at is None
    with pytest.raises(ConflictError, match="is cancelled for good: start a new one"):
        world.mass_logouts.resume(first, change)
    world.run()
    assert {sub for sub, _ in told(world)} == {"ada", "bob", "eve"}


def test_who_has_accepted_an_earlier_token_is_not_released_again(world: World) -> None:
    ended = SubjectSessionsEnded("ada", world.now(), "e1", reason=Reason.LOGOUT)
    world.intake.take(world.provider, [ended], world.now())
    world.run()

    mass = ask_for(world)
    world.run()

    tally = world.chunks.totals(mass.mass_logout).tally
    assert (tally["found subjects"], tally["released sessions"]) == (2, 4)
    assert told(world) == Counter((sub, each) for sub in ("ada", "bob", "eve") for each in ("wiki", "chat"))


def test_who_has_not_accepted_an_earlier_token_is_released_again(world: World) -> None:
    ended = SubjectSessionsEnded("ada", world.now(), "e1", reason=Reason.LOGOUT)
    world.intake.take(world.provider, [ended], world.now())
    while not world.to_deliver.held:
        world._let_go_on(world._running[0]) if world._running else world._next()
    world.to_deliver.held.clear()  # purged

    mass = ask_for(world)
    world.run()

    assert world.chunks.totals(mass.mass_logout).tally["found subjects"] == 3


def test_all_clients_are_told_also_if_those_with_a_session_have_been(tables: Tables) -> None:
    world = World(tables, f"https://idp.example/{uuid.uuid4()}", round(time.time() * 1000), (WIKI, CHAT), [], [])
    login = RpSessionStarted("ada", "wiki", world.began - 9000, "s-ada")
    ended = SubjectSessionsEnded("ada", world.began, "e1", reason=Reason.LOGOUT)
    world.intake.take(world.provider, [login, ended], world.now())
    world.run()
    assert told(world) == {("ada", "wiki"): 1}

    world.provider = replace(world.provider, recipients="all_clients")
    world.mass_runner.providers._provider = world.provider  # type: ignore[attr-defined]
    ask_for(world)
    world.run()

    assert told(world)["ada", "chat"] == 1


def test_a_mass_logout_whose_messages_are_purged_counts_them_as_lost_and_finishes(world: World) -> None:
    mass = ask_for(world)
    released_some(world, lambda: None)
    world.ended.held.pop()
    world.run()
    assert world.masses[0].finished_at is None

    world._leap(LOST_AFTER / 1000 + 1)
    world.to_work.held = [Held(MassLogoutMessage(mass.mass_logout, world.masses[0].turn).to_json())]
    world._idle_turns = 0
    world.run()

    tally = world.chunks.totals(mass.mass_logout).tally
    assert (world.masses[0].state, tally["lost"], tally["fanned_out"]) == ("finished", 1, 2)


def test_only_the_last_hundred_changes_are_kept(world: World) -> None:
    mass = ask_for(world)
    for number in range(MOST_CHANGES + 3):
        changed = world.mass_logouts.set_rates(mass, Change(world.now(), "arn", f"rate {number}"), 1, 1)

    kept = [each.what for each in world.mass_logouts.get(mass.mass_logout).history]

    assert kept == [f"rate {number}" for number in range(3, MOST_CHANGES + 3)]
    assert len(changed.history) <= MOST_CHANGES + 1


def test_listed_subjects_are_told_also_if_their_start_is_reported_late(world: World) -> None:
    began = world.began
    world.ask_for(MassEnd(world.now(), "", None, Reason.COMPROMISED), subjects=["ada", "late"])
    world.run()

    world.intake.take(world.provider, [RpSessionStarted("late", "wiki", began - 5000, "s-late")], world.now())
    world.run()

    assert told(world) == {("ada", "wiki"): 1, ("ada", "chat"): 1, ("late", "wiki"): 1}


def test_a_mass_logout_of_a_provider_that_is_removed_ends(world: World) -> None:
    ask_for(world)
    world.provider = world.mass_runner.providers._provider = mock.Mock(issuer="https://another.example")  # type: ignore[attr-defined]
    world.run()

    assert world.posted == []
    assert [(each.state, each.finished_at is not None) for each in world.masses] == [("cancelled", True)]
