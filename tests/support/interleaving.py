"""Tasks that take turns: the library over the real tables, one AWS call at a time, in an order that a test chooses.

Every task - a webhook, a run of a fan-out, a turn of a mass logout, an attempt - runs in a thread of its own and stops before
each call to AWS and before each POST, until it is let go on or killed there. Queues are lists that can deliver a message twice.
The clock ticks with each step, and leaps when everybody waits.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import batched
from random import Random
from typing import TYPE_CHECKING, Any, Self, cast
from unittest import mock

import boto3
from botocore.config import Config

from backchannel.aws.dynamodb import Page, key
from backchannel.aws.sqs import Outgoing, Queue
from backchannel.deliveries.attempt import AttemptResult
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.newer_logins import NewerLogins
from backchannel.deliveries.table import Deliveries
from backchannel.deliveries.verdicts import Done, RetryIn, Verdict
from backchannel.deliveries.worker import DeliveryWorker
from backchannel.egress.post import Response
from backchannel.errors import NotFoundError
from backchannel.logouts.fan_out import FanOut
from backchannel.logouts.mass.chunks import Chunks
from backchannel.logouts.mass.messages import MassLogoutMessage
from backchannel.logouts.mass.progress import Standings
from backchannel.logouts.mass.records import MassLogout, Scope
from backchannel.logouts.mass.runner import MassRunner
from backchannel.logouts.mass.table import Held as HeldByAnother
from backchannel.logouts.mass.table import MassLogouts
from backchannel.logouts.mass.told import Told
from backchannel.logouts.table import Logouts
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider, Providers, Recipients
from backchannel.reasons import Reason
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.events import (
    Ended,
    MassEnd,
    RpSessionStarted,
    SessionEnded,
    SessionEvent,
    SubjectSessionsEnded,
    event_time,
    logout_id,
)
from backchannel.sessions.intake import Intake
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from local.client import Stack
from tests.support.signing import ring, signer, unverified_part
from tests.support.uncounted import NoActivities

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_STEPS = 3000
MAX_RUNNING = 4
MAX_CRASHES = 3
MAX_REPEATS = 2
MAX_IDLE_TURNS = 8
"""Turns of mass logouts one after another while nothing else happens: what they wait for may never come."""

PAGE = 2
"""RP sessions in a page of a fan-out: few, so that there are several pages."""


class Crash(BaseException):
    """The process is gone: nothing in the library may catch it."""


class Task:
    """Work in a thread of its own that stops before every step."""

    def __init__(self, label: str, work: Callable[[], object], done: Callable[[Task], None] = lambda _: None) -> None:
        self.label = label
        self.at = ""
        self.crashed = False
        self.finished = False
        self.done = done
        self.posted: list[Posted] = []
        self._work = work
        self._doomed = False
        self._error: BaseException | None = None
        self._go, self._halt = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=label, daemon=True)
        self._thread.start()

    def go_on(self, *, doomed: bool = False) -> None:
        """Take the step that the task stands before, or die there.

        Raises:
            BaseException: what the work raised, unless it was killed.

        """
        self._doomed = doomed
        self._go.release()
        self._halt.acquire()
        if self.finished:
            self._thread.join()
            if self._error is not None:
                raise self._error

    def go_to(self, at: str, number: int = 1) -> None:
        """Go on until the task stands before a step of this name, of several the ``number``-th from here."""
        while number > 0:
            self.go_on()
            assert not self.finished, f"it has no such step: {at}"
            number -= self.at == at

    def finish(self) -> None:
        """Go on to the end."""
        while not self.finished:
            self.go_on()

    def _stop(self, at: str) -> None:
        self.at = at
        self._halt.release()
        self._go.acquire()
        if self._doomed:
            raise Crash

    def _run(self) -> None:
        _here.task = self
        self._go.acquire()
        try:
            self._work()
            self._stop("acknowledge")
        except Crash:
            self.crashed = True
        except BaseException as error:  # noqa: BLE001 - raised again by the scheduler
            self._error = error
        finally:
            self.finished = True
            self._halt.release()


class _Here(threading.local):
    task: Task | None = None


_here = _Here()


def step(at: str) -> None:
    """Stop here until let go on, in a task; elsewhere go on at once."""
    if _here.task is not None:
        _here.task._stop(at)


@dataclass(frozen=True, slots=True)
class Posted:
    """A token that an RP took, the logout that it is of, and the steps at which its attempt began and it was posted."""

    logout_id: str
    claims: dict[str, Any]
    at: int
    began: int

    @property
    def client_id(self) -> str:
        client_id: str = self.claims["aud"]
        return client_id


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits in a queue until it is due."""

    body: str
    due: int = 0


@dataclass(slots=True)
class Webhook:
    """An event on its way to us; with ``at`` None it has happened when it is first sent."""

    event: Callable[[int], SessionEvent | MassEnd]
    at: int | None
    began: int | None = None
    taken: int | None = None
    """The step after which it was answered."""

    received: list[SessionEvent | MassEnd] = field(default_factory=list)
    """What was taken in, each time that it was sent: a time that was ahead is cut each time."""


class ListQueue(Queue):
    """A queue that the scheduler delivers from."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.held: list[Held] = []
        self._clock = clock

    def send(self, messages: Iterable[Outgoing]) -> None:
        for batch in batched(messages, 10, strict=False):
            step("SendMessageBatch")
            self.held += [Held(message.body, self._clock() + message.delay) for message in batch]


class KnownProviders(Providers):
    """A provider and its clients, known without asking."""

    def __init__(self, provider: Provider, clients: Sequence[Client]) -> None:
        self._provider = provider
        self.of_id = {client.client_id: client for client in clients}

    def get(self, provider: str) -> Provider:  # noqa: ARG002 - there is one
        return self._provider

    def get_clients(self, provider: str, client_ids: Iterable[str]) -> list[Client]:  # noqa: ARG002
        return [self.of_id[client_id] for client_id in client_ids]

    def get_client(self, provider: str, client_id: str) -> Client:  # noqa: ARG002
        return self.of_id[client_id]

    def clients(self, provider: str, after: str | None, limit: int) -> Page[Client]:  # noqa: ARG002
        keys = sorted(key("CLIENT", client_id) for client_id in self.of_id)
        found = [each for each in keys if after is None or each > after][:limit]
        clients = [self.of_id[each.removeprefix(key("CLIENT", ""))] for each in found]
        return Page(clients, found[-1] if len(found) == limit else None)


class _NoCircuits:
    def call(self, provider: str, client_id: str, send: Callable[[], AttemptResult]) -> AttemptResult:  # noqa: ARG002
        return send()


@dataclass(frozen=True, slots=True)
class Tables:
    """Where everything is kept."""

    dynamodb: DynamoDBClient
    sessions: str
    deliveries: str
    mass_logouts: str


def tables_of(stack: Stack, sessions: str | None = None) -> Tables:
    """Return the stack's tables, or another one of sessions, through a client each of whose calls is a step."""
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=stack.endpoint_url,
        region_name=stack.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def stop(model: Any, **_: Any) -> None:
        step(model.name)

    dynamodb.meta.events.register("before-call.dynamodb", stop)
    names = [stack.tables[name] for name in ("DeliveriesTable", "MassLogoutsTable")]
    return Tables(dynamodb, sessions or stack.tables["SessionsTable"], *names)


@contextmanager
def own_sessions(stack: Stack) -> Iterator[Tables]:
    """Yield tables of which that of sessions is nobody else's: mass logouts read all of it."""
    tables = tables_of(stack, f"sessions-{uuid.uuid4()}")
    tables.dynamodb.create_table(
        TableName=tables.sessions,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        yield tables
    finally:
        tables.dynamodb.delete_table(TableName=tables.sessions)


@dataclass(frozen=True, slots=True)
class Turn:
    """After so many steps by themselves, the tasks' order is changed: one of the possibilities is taken."""

    after: int
    choice: int


@dataclass
class World:
    """One provider of nobody else's, what happens to it from ``began`` on (milliseconds since the epoch), and in which order.

    ``impatient`` fan-outs give their message back after every page. With ``sweeps`` False the sweep's message is lost.
    """

    tables: Tables
    issuer: str
    began: int
    clients: Sequence[Client]
    webhooks: list[Webhook]
    turns: Sequence[Turn]
    impatient: bool = False
    sweeps: bool = True
    sessions_class: type[Sessions] = Sessions
    recipients: Recipients = "sessions"
    sub: str = "ada"
    """The subject whom mass logouts reach here."""
    steps: int = 0
    posted: list[Posted] = field(default_factory=list)
    posted_in_vain: list[Posted] = field(default_factory=list)
    """By attempts that died before they could note it."""
    trace: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """The ids of mass logouts that were asked for; some may be of none, since another was active."""
    _idle_turns: int = 0
    _leapt: int = 0
    _crashes: int = 0
    _repeats: int = 0
    _running: list[Task] = field(default_factory=list)
    _in_flight: dict[Task, Callable[[], Task]] = field(default_factory=dict)
    _unsent: list[Webhook] = field(default_factory=list)
    received: set[str] = field(default_factory=set)
    """Messages that were delivered before; a run of theirs may have begun."""

    def __post_init__(self) -> None:
        dynamodb = self.tables.dynamodb
        self.provider = Provider("interleaved", self.issuer, ring(), recipients=self.recipients)
        providers = KnownProviders(self.provider, self.clients)
        self.sessions = self.sessions_class(dynamodb, self.tables.sessions)
        self.deliveries = Deliveries(dynamodb, self.tables.deliveries)
        self.ended, self.to_deliver, self.to_work = (ListQueue(self.now) for _ in range(3))
        self.logouts = Logouts(dynamodb, self.tables.deliveries)
        self.intake = Intake(self.sessions, self.ended)
        self.fan_out = FanOut(
            providers,
            self.sessions,
            self.logouts,
            self.deliveries,
            self.ended,
            self.to_deliver,
            self.ended,
            self.to_deliver,
            activities=NoActivities(),
        )
        self.mass_logouts = MassLogouts(dynamodb, self.tables.mass_logouts)
        self.chunks = Chunks(dynamodb, self.tables.mass_logouts)
        self.mass_runner = MassRunner(
            self.mass_logouts,
            self.chunks,
            self.sessions,
            providers,
            Standings(dynamodb, self.tables.deliveries),
            Told(dynamodb, self.tables.deliveries),
            queue=self.to_work,
            ended_queue=self.ended,
            now=self.now,
            sleep=self._leap,
        )
        self.worker = DeliveryWorker(
            provider=providers.get,
            current_provider=providers.get,
            client=lambda _, client_id: providers.of_id[client_id],
            current_client=lambda _, client_id: providers.of_id[client_id],
            deliveries=self.deliveries,
            newer_logins=NewerLogins(self.sessions, self.deliveries, self.to_deliver),
            encryption=cast("Any", None),
            signer=signer(),
            egress=self,
            circuits=_NoCircuits(),
            rng=Random(0),  # noqa: S311 - jitter
            now=self.now,
        )
        self._unsent = list(self.webhooks)

    def now(self) -> int:
        """Return the time, in milliseconds since the epoch."""
        return self.began + self._leapt + self.steps

    def run(self) -> Self:
        """Let everything happen, until nothing is left to do.

        Raises:
            AssertionError: it does not end.

        """
        turns = list(self.turns)
        left = turns[0].after if turns else -1
        current: Task | None = None
        while True:
            if left == 0:
                possible = self._possible(current)
                turn = turns.pop(0)
                left = turns[0].after if turns else -1
                if possible:
                    current = possible[turn.choice % len(possible)]()
                    continue
            left -= 1
            if current is None or current.finished:
                current = self._next()
            if current is None:
                return self
            self._let_go_on(current)
            assert self.steps < MAX_STEPS, "it does not end"

    def post(self, uri: str, body: bytes, *, allowed_networks: tuple[str, ...] = (), ca_bundle: str | None = None) -> Response:  # noqa: ARG002
        """Take a token, as a relying party does."""
        task = _here.task
        assert task is not None
        step("POST")
        claims = unverified_part(body.decode().removeprefix("logout_token="), 1)
        logout_id, began = task.label.rsplit("@", 1)
        task.posted.append(Posted(logout_id, claims, self.now(), int(began)))
        self.posted.append(task.posted[-1])
        return Response(200, None, b"", None, "127.0.0.1")

    # --- what may happen next -----------------------------------------------------------------------------------------

    def _possible(self, current: Task | None) -> list[Callable[[], Task | None]]:
        """Return everything that might happen instead of what happens by itself."""
        possible: list[Callable[[], Task | None]] = [partial(_same, task) for task in self._running if task is not current]
        if len(self._running) < MAX_RUNNING:
            if self._unsent:
                possible.append(self._send_webhook)
            possible += [partial(self._fan_out, held) for held in self.ended.held]
            possible += [partial(self._attempt, held) for held in self.to_deliver.held if held.due <= self.now()]
            possible += [partial(self._turn, held) for held in self.to_work.held if held.due <= self.now()]
            if current in self._in_flight and self._repeats < MAX_REPEATS:
                possible.append(partial(self._repeat, current))
        if current in self._running and self._crashes < MAX_CRASHES:
            possible.append(partial(self._kill, current))
        return possible

    def _next(self) -> Task | None:
        """Return what happens by itself: webhooks before fan-outs before deliveries, and at last who was interrupted."""
        if not self.sweeps:
            self.ended.held = [held for held in self.ended.held if not EndMessage.from_json(held.body).sweep]
        if len(self._running) < MAX_RUNNING:
            if self._unsent:
                return self._send_webhook()
            for queue, begin in self._queues:
                for message in queue.held:
                    if message.due <= self.now():
                        return begin(message)
        if self._running:
            return self._running[0]
        waiting = [message.due for queue, _ in self._queues for message in queue.held]
        if not waiting or self._idle_turns > MAX_IDLE_TURNS:
            return None
        self._leapt += min(waiting) - self.now()
        return self._next()

    @property
    def _queues(self) -> list[tuple[ListQueue, Callable[[Held], Task]]]:
        return [(self.ended, self._fan_out), (self.to_deliver, self._attempt), (self.to_work, self._turn)]

    def _leap(self, seconds: float) -> None:
        self._leapt += round(seconds * 1000)

    def _send_webhook(self) -> Task:
        webhook = self._unsent.pop(0)
        for each in self.webhooks:
            if each.at is None and each.event is webhook.event:
                each.at = self.now()  # a repeated event has happened once
        assert webhook.at is not None
        received = webhook.event(event_time(webhook.at, self.now()))
        webhook.received.append(received)

        def take() -> None:
            if isinstance(received, MassEnd):
                self.ask_for(received)
            else:
                self.intake.take(self.provider, [received], self.now())

        def done(task: Task) -> None:
            if task.crashed:
                self._unsent.insert(0, webhook)  # not answered: its sender tries again
            elif webhook.taken is None:
                webhook.taken = self.steps

        return self._begin(f"webhook {received}", take, done)

    def ask_for(self, end: MassEnd, subjects: Sequence[str] | None = None, rate: int = 10_000) -> MassLogout:
        """Ask for a mass logout, as the operator's interface does."""
        scope = Scope(self.issuer, end.client_id, None if subjects is None else tuple(subjects))
        mass = MassLogout(
            mass_logout=str(uuid.uuid4()),
            provider=self.provider.provider,
            issuer=self.issuer,
            scope=scope.name,
            ended_at=end.ended_at,
            created_at=self.now(),
            reason=end.reason or Reason.LOGOUT,
            rate=rate,
            client_rate=rate,
            requested_by="arn",
            client_id=end.client_id,
            subjects=None if subjects is None else len(subjects),
        )
        self.asked.append(mass.mass_logout)
        stored = self.mass_logouts.create(mass, subjects or ())
        self.to_work.send([MassLogoutMessage(stored.mass_logout, stored.turn + 1).outgoing()])
        return stored

    def _turn(self, held: Held, *, is_copy: bool = False) -> Task:
        """Let a mass logout go on for a turn."""
        self._idle_turns += 1
        if not is_copy:
            self.to_work.held.remove(held)
        worked: HeldByAnother | bool = False

        def work() -> None:
            nonlocal worked
            worked = self.mass_runner.run(MassLogoutMessage.from_json(held.body))

        def done(task: Task) -> None:
            if not is_copy and (task.crashed or worked is not True):
                due = worked.until if isinstance(worked, HeldByAnother) else self.now() + 30_000
                self.to_work.held.append(Held(held.body, due))

        task = self._begin(f"turn {held.body}", work, done)
        self._in_flight[task] = lambda: self._turn(held, is_copy=True)
        return task

    def _fan_out(self, held: Held, *, is_copy: bool = False) -> Task:
        self._idle_turns = 0
        if not is_copy:
            self.ended.held.remove(held)
        finished = False
        is_repeated = held.body in self.received
        self.received.add(held.body)

        def carry_out() -> None:
            nonlocal finished
            message = EndMessage.from_json(held.body)
            finished = self.fan_out.carry_out(
                message, now=self.now, time_is_short=lambda: self.impatient, is_repeated=is_repeated
            )

        def done(task: Task) -> None:
            if not is_copy and (task.crashed or not finished):
                self.ended.held.append(held)

        task = self._begin(f"fan-out {held.body}", carry_out, done)
        self._in_flight[task] = lambda: self._fan_out(held, is_copy=True)
        return task

    def _attempt(self, held: Held, *, is_copy: bool = False) -> Task:
        self._idle_turns = 0
        if not is_copy:
            self.to_deliver.held.remove(held)
        message = DeliveryMessage.from_json(held.body)
        verdict: Verdict = RetryIn(0)

        def attempt() -> None:
            nonlocal verdict
            verdict = self.worker.attempt(message)

        def done(task: Task) -> None:
            if task.crashed:
                self.posted_in_vain += task.posted
            if not is_copy and (task.crashed or not isinstance(verdict, Done)):
                delay = verdict.delay if isinstance(verdict, RetryIn) else 0
                self.to_deliver.held.append(Held(held.body, self.now() + delay))

        task = self._begin(f"{message.logout_id}@{self.steps}", attempt, done)
        self._in_flight[task] = lambda: self._attempt(held, is_copy=True)
        return task

    def _repeat(self, task: Task) -> Task:
        """Deliver a message again that is being worked on."""
        self._repeats += 1
        return self._in_flight[task]()

    def _kill(self, task: Task) -> None:
        self._crashes += 1
        self._let_go_on(task, doomed=True)

    def _begin(self, label: str, work: Callable[[], None], done: Callable[[Task], None]) -> Task:
        task = Task(label, work, done)
        self._running.append(task)
        self._let_go_on(task)  # to the door of its first step
        return task

    def _let_go_on(self, task: Task, *, doomed: bool = False) -> None:
        self.trace.append(f"{self.steps:4} {'dies before' if doomed else 'does'} {task.at or 'begin'}: {task.label}")
        self.steps += 1
        task.go_on(doomed=doomed)
        if task.finished:
            self._running.remove(task)
            self._in_flight.pop(task, None)
            task.done(task)

    # --- what came of it ----------------------------------------------------------------------------------------------

    @property
    def interruptions(self) -> int:
        """How often something died or was repeated."""
        return self._crashes + self._repeats

    @property
    def starts(self) -> list[tuple[RpSessionStarted, Webhook]]:
        """The logins, each with the webhook that told of it."""
        return [(each, webhook) for webhook in self.webhooks for each in webhook.received if isinstance(each, RpSessionStarted)]

    @property
    def ends(self) -> list[Ended]:
        """The ends that were carried out: of one that was sent again, the receipt whose time its logout has kept."""
        ended = (SessionEnded, SubjectSessionsEnded)
        received = [each for webhook in self.webhooks for each in webhook.received if isinstance(each, ended)]
        return [each for each in received if self._is_kept(each)] + [mass.end.of(self.sub) for mass in self.masses]

    @property
    def masses(self) -> list[MassLogout]:
        """The mass logouts that there were."""
        found = []
        for each in self.asked:
            with suppress(NotFoundError):
                found.append(self.mass_logouts.get(each))
        return found

    def _is_kept(self, end: Ended) -> bool:
        logout = self.logouts.find(logout_id(self.issuer, end))
        return logout is None or logout.source_event_id != end.source_event_id or logout.ended_at == end.ended_at


def _same(task: Task) -> Task:
    return task


class _Serially:
    """A pool of one worker: the caller."""

    def __init__(self, _: int) -> None:
        """Ignore how many there should be."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def map[A, B](self, call: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        return iter([call(item) for item in items])


@contextmanager
def taking_turns() -> Iterator[None]:
    """Have fan-outs work serially, in small pages, and nobody log or count."""
    level = logger.log_level
    logger.setLevel("CRITICAL")
    try:
        with (
            mock.patch.multiple("backchannel.logouts.fan_out", ThreadPoolExecutor=_Serially, PAGE=PAGE),
            mock.patch("backchannel.sessions.intake.ThreadPoolExecutor", _Serially),
            mock.patch("backchannel.logouts.mass.progress.ThreadPoolExecutor", _Serially),
            mock.patch("backchannel.logouts.mass.releases.ThreadPoolExecutor", _Serially),
            mock.patch.multiple("backchannel.logouts.mass.reader", ThreadPoolExecutor=_Serially, SEGMENTS=2),
            mock.patch.object(metrics, "add_metric"),
        ):
            yield
    finally:
        logger.setLevel(level)
