"""What the search found, step by step: each of these once let an RP session escape, ended a newer one, or hung for ever."""

import time
import uuid
from collections.abc import Iterator

import pytest

from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Status
from backchannel.errors import NotFoundError
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEvent
from backchannel.sessions.intake import end_message
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.rp_sessions import RpSession, is_covered
from local.client import Stack
from tests.support.interleaving import Held, Tables, Task, World, tables_of, taking_turns
from tests.support.recorded import all_of_logout
from tests.support.scenarios import CLIENTS, SUB, SessionEnds, Starts, SubjectEnds


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns():
        yield tables_of(stack)


@pytest.fixture
def world(tables: Tables) -> World:
    return World(tables, f"https://idp.example/{uuid.uuid4()}", round(time.time() * 1000), CLIENTS, [], [], sweeps=False)


def take(world: World, event: SessionEvent) -> None:
    world.intake.take(world.provider, [event], world.now())


def fan_out(world: World, held: Held) -> Task:
    """Return a run of a fan-out that stands before its first step."""
    message = EndMessage.from_json(held.body)
    world.received.add(held.body)
    task = Task(held.body, lambda: world.fan_out.carry_out(message, now=world.now, time_is_short=lambda: False))
    task.go_on()
    return task


def both_items(world: World) -> tuple[RpSession, RpSession]:
    """Return the one RP session of s1 as it is found by its session and by its subject."""
    (by_session,) = world.sessions.of_session(world.issuer, "s1", after=None, limit=9, now=world.now()).items
    (by_subject,) = world.sessions.of_subject(world.issuer, SUB, after=None, limit=9, now=world.now()).items
    return by_session, by_subject


def attempt(world: World) -> Task:
    """Return an attempt of the one delivery that waits, before its first step."""
    message = DeliveryMessage.from_json(world.to_deliver.held.pop().body)
    task = Task(f"{message.logout_id}@0", lambda: world.worker.attempt(message))
    task.go_on()
    return task


def test_an_rp_session_that_is_claimed_between_its_two_writes_is_marked_on_both_items(world: World) -> None:
    start = Task("start", lambda: take(world, Starts("wiki", "s1")(world.began)))
    start.go_to("UpdateItem", 2)

    take(world, SessionEnds("s1")(world.now()))
    world.run()
    start.finish()
    world.run()

    by_session, by_subject = both_items(world)
    assert by_subject.ended_by is not None
    assert by_subject == by_session
    assert len(world.posted) == 1


@pytest.mark.parametrize("client_id", ["wiki", "mail"])
def test_an_rp_session_is_told_although_a_later_start_died_between_its_two_writes(world: World, client_id: str) -> None:
    take(world, Starts(client_id, "s1")(world.began - 3))
    again = Starts(client_id, "s1")(world.began - 2)
    dying = Task("start", lambda: take(world, again))
    dying.go_to("UpdateItem", 2)
    dying.go_on(doomed=True)

    take(world, SubjectEnds()(world.began - 1))
    world.run()
    told = len(world.posted)
    take(world, again)  # its sender tries once more at last
    world.run()

    by_session, by_subject = both_items(world)
    assert (told, len(world.posted)) == (1, 1)
    assert by_subject.ended_by is not None
    assert by_subject == by_session


def test_a_recorded_delivery_that_was_not_queued_is_queued_by_the_next_run(world: World) -> None:
    take(world, Starts("wiki", "s1")(world.began - 2))
    take(world, SessionEnds("s1")(world.began - 1))
    end = world.ended.held.pop()
    run = fan_out(world, end)
    run.go_to("SendMessageBatch")
    run.go_on(doomed=True)

    take(world, Starts("wiki", "s1")(world.began))  # takes the place of the one that the dead run has claimed
    world.run()
    world.ended.held.append(end)
    world.run()

    assert [posted.claims["sid"] for posted in world.posted] == ["s1"]


ENDS_WHAT_CAN_BEGIN_ANEW = pytest.mark.parametrize(
    ("client_id", "end"),
    [("wiki", SessionEnds("s1", "wiki")), ("mail", SubjectEnds()), ("wiki", SubjectEnds())],
    ids=["a client's part of a session", "a subject's session by sid", "a subject"],
)


def outcomes(world: World, logout: str) -> list[tuple[Status, str | None]]:
    return [(record.status, record.last_code) for record in all_of_logout(world.deliveries, logout)]


@ENDS_WHAT_CAN_BEGIN_ANEW
def test_a_token_that_comes_late_does_not_end_a_newer_login_in_the_same_session(
    world: World, client_id: str, end: SessionEnds | SubjectEnds
) -> None:
    take(world, Starts(client_id, "s1")(world.began - 2))
    take(world, end(world.began - 1))
    held = world.ended.held.pop()
    fan_out(world, held).finish()

    take(world, Starts(client_id, "s1")(world.began))
    world.run()

    assert world.posted == []
    assert set(outcomes(world, EndMessage.from_json(held.body).logout_id)) == {(Status.SUPERSEDED, "newer_session")}


@ENDS_WHAT_CAN_BEGIN_ANEW
def test_a_recorded_delivery_is_not_left_unqueued_when_a_newer_login_took_its_place(
    world: World, client_id: str, end: SessionEnds | SubjectEnds
) -> None:
    take(world, Starts(client_id, "s1")(world.began - 2))
    take(world, end(world.began - 1))
    held = world.ended.held.pop()
    run = fan_out(world, held)
    run.go_to("SendMessageBatch")
    run.go_on(doomed=True)

    take(world, Starts(client_id, "s1")(world.began))
    world.ended.held.append(held)
    world.run()

    assert world.posted == []
    assert set(outcomes(world, EndMessage.from_json(held.body).logout_id)) == {(Status.SUPERSEDED, "newer_session")}


def test_a_login_between_a_claim_and_its_mark_leaves_no_older_login_waiting(world: World) -> None:
    take(world, Starts("wiki", "s1")(world.began - 2))
    end = SessionEnds("s1", "wiki")(world.began - 1)
    take(world, end)
    run = fan_out(world, world.ended.held.pop())
    run.go_to("UpdateItem", 4)  # its record

    take(world, Starts("wiki", "s1")(world.began))
    run.finish()
    world.run()

    by_session, by_subject = both_items(world)
    assert (by_session.ended_by, by_subject.ended_by) == (None, None)
    assert not is_covered(by_session, end)
    assert not is_covered(by_subject, end)


@pytest.mark.parametrize("later", [0, 1], ids=["one event, sent twice", "two events"])
def test_a_run_that_died_is_finished_although_another_has_closed_its_logout(world: World, later: int) -> None:
    take(world, Starts("wiki", "s1")(world.began - 3))
    for at in (-2, -2 + later):
        take(world, SessionEnds("s1")(world.began + at))
    other, end = world.ended.held
    world.ended.held = []
    run = fan_out(world, end)
    run.go_to("UpdateItem", 4)  # its record
    run.go_on(doomed=True)
    fan_out(world, other).finish()

    world.ended.held = [end]
    world.run()

    assert [posted.claims["sid"] for posted in world.posted] == ["s1"]


def test_a_session_that_starts_late_while_an_attempt_gives_way_to_a_newer_one_is_told(world: World) -> None:
    take(world, Starts("wiki", "old")(world.began - 3))
    take(world, SubjectEnds()(world.began - 1))
    fan_out(world, world.ended.held.pop()).finish()
    take(world, Starts("wiki", "new")(world.began))
    giving_way = attempt(world)
    giving_way.go_to("UpdateItem", 2)  # its outcome

    take(world, Starts("wiki", "late")(world.began - 2))
    fan_out(world, world.ended.held.pop()).finish()
    giving_way.finish()
    world.run()

    assert sorted(posted.claims["sid"] for posted in world.posted) == ["late", "old"]


def test_a_late_start_after_an_attempt_gave_way_is_told_by_a_repeated_run(world: World) -> None:
    take(world, Starts("wiki", "old")(world.began - 3))
    take(world, SubjectEnds()(world.began - 1))
    take(world, Starts("wiki", "new")(world.began))
    end = world.ended.held.pop()
    run = fan_out(world, end)
    run.go_to("SendMessageBatch", 2)  # its sweep
    run.go_on(doomed=True)
    world.run()

    take(world, Starts("wiki", "tardy")(world.began - 2))  # behind the cursor that was saved
    world.ended.held.insert(0, end)
    world.run()

    assert sorted(posted.claims["sid"] for posted in world.posted) == ["old", "tardy"]


def test_a_new_login_in_a_session_that_is_over_is_told_by_a_run_that_is_repeated(world: World) -> None:
    take(world, Starts("wiki", "s1")(world.began - 2))
    take(world, SessionEnds("s1")(world.began - 1))
    end = world.ended.held.pop()
    run = fan_out(world, end)
    run.go_to("UpdateItem", 5)  # its mark
    run.go_on(doomed=True)
    world.run()

    newer = Starts("wiki", "s1")(world.now())
    take(world, newer)
    world.ended.held.insert(0, end)
    world.run()

    assert [posted.at >= newer.started_at for posted in world.posted] == [False, True]


def test_a_repeated_run_tells_a_client_nothing_that_another_has_told_it(world: World) -> None:
    take(world, Starts("wiki", "early")(world.began - 3))
    take(world, SubjectEnds()(world.began - 1))
    end = world.ended.held.pop()
    run = fan_out(world, end)
    run.go_to("SendMessageBatch", 2)  # its sweep
    run.go_on(doomed=True)
    world.run()
    take(world, Starts("wiki", "late")(world.began - 2))
    world.run()

    world.ended.held.append(end)
    world.run()

    assert len(world.posted) == 2


# --- emergencies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_accepted", [False, True], ids=["its token is on the way", "its token was accepted"])
def test_an_emergency_reaches_what_a_mere_logout_has_taken_care_of(world: World, is_accepted: bool) -> None:  # noqa: FBT001 - a row of the table
    take(world, Starts("chat", None)(world.began - 9000))
    take(world, SubjectEnds()(world.began - 8000))
    fan_out(world, world.ended.held.pop()).finish()
    if is_accepted:
        attempt(world).finish()
    told = len(world.posted)

    take(world, SubjectEnds(event_id="emergency", reason=Reason.COMPROMISED)(world.began - 7000))
    fan_out(world, world.ended.held.pop()).finish()
    take(world, Starts("chat", None)(world.began))
    world.run()

    assert (told, len(world.posted)) == (int(is_accepted), 1)


def test_a_mere_logout_does_not_hide_an_emergency_from_a_late_start(world: World) -> None:
    take(world, SubjectEnds(event_id="emergency", reason=Reason.COMPROMISED)(world.began - 8000))
    take(world, SubjectEnds()(world.began - 7000))
    world.run()
    take(world, Starts("chat", None)(world.began))

    take(world, Starts("chat", None)(world.began - 9000))
    world.run()

    assert [posted.claims["sub"] for posted in world.posted] == [SUB]


def test_a_start_that_is_sent_again_after_its_end_queues_nothing(world: World) -> None:
    start = Starts("wiki", "s1")(world.began - 9000)
    take(world, start)
    take(world, SessionEnds("s1")(world.began - 8000))
    world.run()

    for _ in range(3):
        take(world, start)

    assert world.ended.held == []
    assert len(world.posted) == 1


def test_an_end_that_is_sent_again_keeps_the_time_of_its_first_receipt(world: World) -> None:
    take(world, Starts("wiki", "s1")(world.began - 9000))
    take(world, SubjectEnds()(world.began - 8000))
    world.run()
    later = Starts("wiki", "s2")(world.began - 7000)
    take(world, later)

    take(world, SubjectEnds()(world.began - 6000))  # the same event, whose time was ahead, cut anew
    world.run()

    (kept,) = world.sessions.of_session(world.issuer, "s2", after=None, limit=9, now=world.now()).items
    assert kept.ended_by is None
    assert len(world.posted) == 1


def test_an_end_that_was_queued_for_another_issuer_is_dropped(world: World) -> None:
    take(world, Starts("wiki", "s1")(world.began - 9000))
    end = end_message("interleaved", "https://another.example", SessionEnds("s1")(world.began - 8000))
    run = Task("another", lambda: world.fan_out.carry_out(end, now=world.now, time_is_short=lambda: False))

    with pytest.raises(NotFoundError):
        run.finish()

    assert world.posted == []
