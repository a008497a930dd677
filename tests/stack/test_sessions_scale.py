"""What a fan-out costs, and that it goes on from wherever it was stopped: thousands of RP sessions differ only in number."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import boto3
import pytest

from backchannel.aws.sqs import Queue
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.table import Deliveries
from backchannel.logouts.fan_out import PAGE, FanOut
from backchannel.logouts.table import Logouts
from backchannel.providers.table import Provider, Providers
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.intake import end_message
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from local.client import Stack
from tests.stack.interleaving import Tables, Task, World, tables_of, taking_turns
from tests.stack.recorded import all_of_logout
from tests.stack.test_sessions_stateful import WIKI

RPS = 300
CLIENTS = [replace(WIKI, client_id=f"client-{number:03}") for number in range(RPS)]
WRITES = ("PutItem", "UpdateItem")


class CountedCalls:
    """Clients for the stack's AWS, and how often each of their operations was called."""

    def __init__(self, stack: Stack) -> None:
        self.calls: Counter[str] = Counter()
        self._stack = stack

    def client(self, service: Any) -> Any:
        client = boto3.client(
            service,
            endpoint_url=self._stack.endpoint_url,
            region_name=self._stack.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.meta.events.register(f"before-call.{service}", self._count)
        return client

    def _count(self, model: Any, **_: Any) -> None:
        self.calls[model.name] += 1


def counted_fan_out(stack: Stack, rps: int = RPS) -> Counter[str]:
    """Fan the end of a session with so many RPs out, in process, and return the calls that it took."""
    counted = CountedCalls(stack)
    dynamodb, sqs = counted.client("dynamodb"), counted.client("sqs")
    sessions = Sessions(dynamodb, stack.tables["SessionsTable"])
    providers = Providers(dynamodb, stack.tables["ProvidersTable"])
    provider = Provider(f"p-{uuid.uuid4()}", f"https://idp.example/{uuid.uuid4()}", ())
    providers.create(provider)
    now = round(time.time() * 1000)
    with ThreadPoolExecutor(8) as pool:
        starts = [RpSessionStarted("ada", f"client-{number}", now - 1000, "s1") for number in range(rps)]
        list(pool.map(lambda start: sessions.start(provider.issuer, start, now), starts))
    queues = [sqs.create_queue(QueueName=f"counted-{uuid.uuid4()}")["QueueUrl"] for _ in range(2)]
    fan_out = FanOut(
        providers,
        sessions,
        Logouts(dynamodb, stack.tables["DeliveriesTable"]),
        Deliveries(dynamodb, stack.tables["DeliveriesTable"]),
        *(Queue(sqs, url) for url in queues),
    )
    message = end_message(provider.provider, provider.issuer, SessionEnded("s1", now, "end"))
    counted.calls.clear()

    try:
        assert fan_out.carry_out(message, now=lambda: now, time_is_short=lambda: False)
        calls = counted.calls.copy()
        depth = sqs.get_queue_attributes(QueueUrl=queues[1], AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
        assert int(depth["ApproximateNumberOfMessages"]) == rps
    finally:
        for url in queues:
            sqs.delete_queue(QueueUrl=url)
        providers.delete(provider.provider)
    return calls


def test_a_fan_out_takes_three_writes_for_each_rp_and_one_send_for_ten(stack: Stack) -> None:
    calls = counted_fan_out(stack)

    pages = RPS // PAGE + 1  # DynamoDB does not say that a full page is the last
    once = 3  # tombstone, record, note that it is complete
    cursors = pages - 1
    assert sum(calls[operation] for operation in WRITES) <= 3 * RPS + once + cursors
    assert calls["Query"] <= pages
    assert calls["SendMessageBatch"] <= RPS / 10 + 1  # and the sweep
    assert calls["GetItem"] <= 2  # issuer, cursor
    assert calls.keys() <= {*WRITES, "Query", "SendMessageBatch", "GetItem"}


# --- going on -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns():
        yield tables_of(stack)


class Ended:
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
    ended = Ended(tables, by_subject=by_subject)

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
def test_a_fan_out_that_dies_before_any_of_its_calls_is_completed_and_tells_nobody_twice(
    tables: Tables, *, by_subject: bool
) -> None:
    died = True
    calls = 0
    while died:
        ended = Ended(tables, by_subject=by_subject, rps=3)
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
        Tables(dynamodb, stack.tables["SessionsTable"], stack.tables["DeliveriesTable"]),
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
