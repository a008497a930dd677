"""What a fan-out costs, and that it goes on from wherever it was stopped: thousands of RP sessions differ only in number."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from backchannel.deliveries.outcomes import Status
from backchannel.logouts.fan_out import PAGE
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.messages import EndMessage
from local.client import Stack
from tests.support.counted_calls import CountedCalls, counted_fan_out
from tests.support.interleaving import Tables, Task, World, tables_of, taking_turns
from tests.support.recorded import all_of_logout
from tests.support.scenarios import WIKI

pytestmark = pytest.mark.inside

RPS = 300
CLIENTS = [replace(WIKI, client_id=f"client-{number:03}") for number in range(RPS)]
WRITES = ("PutItem", "UpdateItem")


@pytest.mark.parametrize(
    ("is_repeated", "reads"),
    [
        (False, 2),  # issuer, what is known of the logout
        (True, 3),  # and the cursor
    ],
)
def test_a_fan_out_takes_three_writes_for_each_rp_and_one_send_for_ten(
    stack: Stack,
    reads: int,
    is_repeated: bool,  # noqa: FBT001 - drawn
) -> None:
    calls = counted_fan_out(stack, RPS, is_repeated=is_repeated)

    pages = RPS // PAGE + 1  # DynamoDB does not say that a full page is the last
    once = 3  # tombstone, record, note that it is complete
    cursors = pages - 1
    assert sum(calls[operation] for operation in WRITES) <= 3 * RPS + once + cursors
    assert calls["Query"] <= pages
    assert calls["SendMessageBatch"] <= RPS / 10 + 1  # and the sweep
    assert calls["GetItem"] <= reads
    assert calls.keys() <= {*WRITES, "Query", "SendMessageBatch", "GetItem"}


# --- going on -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns():
        yield tables_of(stack)


class WaitingEnd:
    """A session, or a subject, with nine RP sessions whose end waits to be fanned out, in pages of two."""

    def __init__(self, tables: Tables, *, by_subject: bool = False, rps: int = 9) -> None:
        clients = [replace(each, backchannel_logout_session_required=by_subject) for each in CLIENTS[:rps]]
        self.world = World(tables, f"https://idp.example/{uuid.uuid4()}", round(time.time() * 1000), clients, [], [])
        world = self.world
        for client in clients:
            start = RpSessionStarted(
                "ada", client.client_id, world.began - 1000, f"of-{client.client_id}" if by_subject else "s1"
            )
            world.intake.take(world.provider, [start], world.now())
        end = SubjectSessionsEnded("ada", world.began, "end") if by_subject else SessionEnded("s1", world.began, "end")
        world.intake.take(world.provider, [end], world.now())
        self.message = world.ended.held.pop()

    def carry_out(self, *, time_is_short: Callable[[], bool] = lambda: False) -> bool:
        message = EndMessage.from_json(self.message.body)
        return self.world.fan_out.carry_out(message, now=self.world.now, time_is_short=time_is_short)

    @property
    def queued(self) -> list[str]:
        return [json.loads(held.body)["client_id"] for held in self.world.to_deliver.held]

    @property
    def told(self) -> list[str]:
        return sorted(posted.client_id for posted in self.world.posted)


@pytest.mark.parametrize("by_subject", [False, True])
def test_a_fan_out_whose_time_is_short_goes_on_where_it_stopped(tables: Tables, *, by_subject: bool) -> None:
    ended = WaitingEnd(tables, by_subject=by_subject)

    finished, queued = [], []
    while True not in finished:
        finished.append(ended.carry_out(time_is_short=lambda: True))
        queued.append(len(ended.queued))

    assert finished == [False, False, False, False, True]
    assert queued == [2, 4, 6, 8, 9]
    assert sorted(ended.queued) == sorted(set(ended.queued))
    ended.world.run()
    assert ended.told == [client.client_id for client in CLIENTS[:9]]


@pytest.mark.parametrize("by_subject", [False, True])
def test_a_fan_out_that_dies_before_any_call_is_completed_and_tells_nobody_twice(tables: Tables, *, by_subject: bool) -> None:
    died = True
    calls = 0
    while died:
        ended = WaitingEnd(tables, by_subject=by_subject, rps=3)
        run = Task("fan-out", ended.carry_out)
        for _ in range(calls + 1):
            if not run.finished:
                run.go_on()
        died = not run.finished
        if died:
            run.go_on(doomed=True)
            ended.world.run()  # what it has queued is delivered before it is repeated
            ended.world.ended.held.append(ended.message)
        ended.world.run()

        assert ended.told == [client.client_id for client in CLIENTS[:3]], f"died before call {calls + 1}"
        calls += 1
    assert calls > 3 * 3


def test_older_sessions_beside_a_newer_login_are_told_by_as_many_attempts_as_it_takes(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backchannel.deliveries.newer_logins.PAGE", 2)
    monkeypatch.setattr("backchannel.deliveries.newer_logins.PAGES", 2)
    world = World(tables, f"https://idp.example/{uuid.uuid4()}", round(time.time() * 1000), [WIKI], [], [])
    older = [f"s{number}" for number in range(9)]
    for sid in older:
        world.intake.take(world.provider, [RpSessionStarted("ada", "wiki", world.began - 9, sid)], world.now())
    world.intake.take(world.provider, [SubjectSessionsEnded("ada", world.began - 5, "end")], world.now())
    (end,) = world.ended.held
    world.ended.held.clear()
    message = EndMessage.from_json(end.body)
    world.fan_out.carry_out(message, now=world.now, time_is_short=lambda: False)

    world.intake.take(world.provider, [RpSessionStarted("ada", "wiki", world.began, "new")], world.now())
    world.run()

    assert sorted(posted.claims["sid"] for posted in world.posted) == older
    records = list(all_of_logout(world.deliveries, message.logout_id))
    assert {each.sid for each in records if each.status is Status.ACCEPTED} == set(older)
    assert [each.sid for each in records if each.status is not Status.ACCEPTED] == [None]


def test_a_late_start_writes_nothing_about_those_that_are_done_with(stack: Stack) -> None:
    counted = CountedCalls(stack)
    dynamodb = counted.client("dynamodb")
    world = World(
        Tables(dynamodb, stack.tables["SessionsTable"], stack.tables["DeliveriesTable"], stack.tables["MassLogoutsTable"]),
        f"https://idp.example/{uuid.uuid4()}",
        round(time.time() * 1000),
        [WIKI],
        [],
        [],
    )
    for number in range(20):
        world.intake.take(world.provider, [RpSessionStarted("ada", "wiki", world.began - 9, f"s{number}")], world.now())
    world.intake.take(world.provider, [SubjectSessionsEnded("ada", world.began, "end")], world.now())
    world.run()

    world.intake.take(world.provider, [RpSessionStarted("ada", "wiki", world.began - 9, "late")], world.now())
    counted.calls.clear()
    world.run()

    assert len(world.posted) == 2
    assert sum(counted.calls[operation] for operation in WRITES) < 20
