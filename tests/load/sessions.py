"""`python -m tests.load.sessions [search|races|subject|session ...]`: what takes too long for `make test`.

- search: random interleavings and crashes, for so many minutes
- races: pairs of a start and its session's end, sent at the same time
- subject: the end of a subject with thousands of RP sessions, whose fan-out is killed twice on the way
- session: the end of a session with a thousand relying parties

Exits non-zero if anybody was not told, or if a bound was passed.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import boto3
from hypothesis import HealthCheck, given, seed, settings

from backchannel.deliveries.records import LOGOUT
from backchannel.providers.clients import Client
from backchannel.providers.table import Providers
from backchannel.sessions.events import RpSessionStarted
from backchannel.sessions.table import Sessions
from local import emulator
from local.client import Stack
from tests.load.sink import Connection
from tests.support.counted_calls import counted_fan_out
from tests.support.interleaving import own_sessions, taking_turns
from tests.support.provider import Provider
from tests.support.races import race
from tests.support.scenarios import Scenario, check, mass_scenarios, scenarios
from tests.support.signing import unverified_part

MEMORY = 128
"""MiB that the fan-out's process may need at the most."""

VISIBILITY = 70
"""Seconds after which the message of a killed fan-out comes again: a little longer than a fan-out may run."""

PATIENCE = 1200
"""Seconds for all tokens to arrive."""

KILLS = 2
EXAMPLES = 100
_FUNCTION = "SessionEndedFunction"


# --- a relying party --------------------------------------------------------------------------------------------------


class Sink:
    """Takes tokens as fast as they come; counts them by client and session."""

    def __init__(self) -> None:
        self.tokens: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        claims = unverified_part(body.decode().removeprefix("logout_token="), 1)
        with self._lock:
            self.tokens[claims["aud"], claims["sid"]] += 1

    @property
    def sids(self) -> Counter[str]:
        with self._lock:
            return Counter({sid: number for (_, sid), number in self.tokens.items()})

    @property
    def duplicates(self) -> int:
        return self.tokens.total() - len(self.tokens)


@contextlib.contextmanager
def listening() -> Iterator[tuple[Sink, str]]:
    """Run a sink in a thread; yield it with its URI."""
    sink, loop = Sink(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(loop.create_server(lambda: Connection(sink.take), "127.0.0.1", 0), loop).result()
    try:
        yield sink, f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/backchannel-logout"
    finally:
        loop.call_soon_threadsafe(serving.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


# --- the fan-out's process --------------------------------------------------------------------------------------------


def workers(function: str = _FUNCTION) -> list[int]:
    """Return the processes in which this clone's emulator runs a function, session_ended by default."""
    running = emulator.running()
    if running is None:
        return []
    name = Stack.load().functions[function]
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_text()
            if parent == running.pid and f"ministack-lambda-{name}" in command:
                found.append(int(process.name))
    return found


class Watch(threading.Thread):
    """Looks at the fan-out's processes all the time, for their peak memory in MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.25):
            for pid in workers():
                with contextlib.suppress(OSError):
                    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line)
                    self.peak = max(self.peak, int(line.split()[1]) / 1024)


# --- one end, many RP sessions ----------------------------------------------------------------------------------------


class Crowd:
    """A provider whose RP sessions, one for each client and ``sid``, all belong to one subject."""

    def __init__(self, stack: Stack, uri: str, clients: int, sids: int) -> None:
        self.stack = stack
        self.sub = "crowd"
        self.expected = [(f"client-{client}", f"sid-{sid}") for sid in range(sids) for client in range(clients)]
        self.provider = Provider(stack)
        self.provider.create()
        self.dynamodb = self.client("dynamodb")
        providers = Providers(self.dynamodb, stack.tables["ProvidersTable"])
        sessions = Sessions(self.dynamodb, stack.tables["SessionsTable"])
        now = round(time.time() * 1000)
        with ThreadPoolExecutor(8) as pool:
            for client in range(clients):
                registered = Client(
                    f"client-{client}",
                    backchannel_logout_uri=uri,
                    backchannel_logout_session_required=True,
                    id_token_signed_response_alg="ES256",
                    allowed_networks=("127.0.0.0/8",),
                )
                pool.submit(providers.put_client, self.provider.name, registered)
            starts = [RpSessionStarted(self.sub, client_id, now, sid) for client_id, sid in self.expected]
            list(pool.map(lambda start: sessions.start(self.provider.issuer, start, now), starts))

    def client(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.stack.endpoint_url,
            region_name=self.stack.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def is_fanned_out(self, logout: str) -> bool:
        key = {"pk": {"S": logout}, "sk": {"S": LOGOUT}}
        return "fanned_out_at" in self.dynamodb.get_item(TableName=self.stack.tables["DeliveriesTable"], Key=key).get("Item", {})

    @contextlib.contextmanager
    def sooner_visible(self) -> Iterator[None]:
        """Shorten the time after which a dead fan-out's message comes again."""
        sqs, url = self.client("sqs"), self.stack.queues["SessionEndedQueue"]
        before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY)})
        try:
            yield
        finally:
            sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


def wait_for_all(crowd: Crowd, sink: Sink, meanwhile: Callable[[], None]) -> float:
    """Wait for every token, or until patience is at its end; return how long it took."""
    began = time.monotonic()
    while len(sink.tokens) < len(crowd.expected) and time.monotonic() - began < PATIENCE:
        assert emulator.running(), "the local stack is gone"
        meanwhile()
        time.sleep(0.2)
    return time.monotonic() - began


def subject(stack: Stack, rp_sessions: int) -> bool:
    print(f"subject: {rp_sessions} RP sessions at 10 clients", flush=True)
    with listening() as (sink, uri):
        crowd = Crowd(stack, uri, clients=10, sids=rp_sessions // 10)
        with crowd.sooner_visible(), Watch() as watch:
            print(f"  a killed fan-out's message comes again after {VISIBILITY} s here, after 360 s as deployed", flush=True)
            logout = crowd.provider.end_subject(crowd.sub)
            kill_at = [len(crowd.expected) * part // 10 for part in (1, 3)]

            def kill() -> None:
                if kill_at and len(sink.tokens) >= kill_at[0] and not crowd.is_fanned_out(logout) and workers():
                    for pid in workers():
                        os.kill(pid, signal.SIGKILL)
                    print(f"  killed the fan-out after {len(sink.tokens)} tokens", flush=True)
                    kill_at.pop(0)

            took = wait_for_all(crowd, sink, kill)
        good = report(crowd, sink, took) and not kill_at
        print(f"  killed {KILLS - len(kill_at)} times, {KILLS} wanted; peak memory {watch.peak:.0f} MiB, {MEMORY} allowed")
        return good and watch.peak < MEMORY


def session(stack: Stack, rps: int) -> bool:
    print(f"session: {rps} relying parties", flush=True)
    with listening() as (sink, uri):
        crowd = Crowd(stack, uri, clients=rps, sids=1)
        crowd.provider.end_session("sid-0")
        return report(crowd, sink, wait_for_all(crowd, sink, lambda: None))


def report(crowd: Crowd, sink: Sink, took: float) -> bool:
    missed = sum(sink.tokens[each] == 0 for each in crowd.expected)
    rate = len(crowd.expected) / took
    print(f"  {took:.0f} s, {rate:.0f} tokens a second; {missed} missed, {sink.duplicates} duplicates", flush=True)
    return missed == 0


# --- the others -------------------------------------------------------------------------------------------------------


def calls(stack: Stack) -> bool:
    rps = 300
    counted = counted_fan_out(stack, rps)
    print(f"calls for {rps} RPs: {', '.join(f'{number} {operation}' for operation, number in counted.most_common())}")
    return True


def races(stack: Stack, pairs: int) -> bool:
    print(f"races: {pairs} pairs of a start and an end", flush=True)
    with listening() as (sink, uri):
        provider = Provider(stack)
        provider.create()
        client_id = provider.register_client(uri)
        raced = race(provider, client_id, lambda: sink.sids, pairs, seed=2)
        print(f"  {raced.missed} missed, {raced.duplicates} duplicates", flush=True)
        return raced.missed == 0


def search(stack: Stack, minutes: float) -> bool:
    print(f"search: {minutes:g} minutes of interleavings and crashes", flush=True)
    end = time.monotonic() + minutes * 60
    examples = 0
    first = number = int(time.time())

    with taking_turns(), own_sessions(stack) as tables:

        def one(scenario: Scenario) -> None:
            nonlocal examples
            if time.monotonic() < end:
                examples += 1
                check(scenario, tables)

        while time.monotonic() < end:
            of_this_number = seed(number)(given(scenarios() | mass_scenarios())(one))
            settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))(
                of_this_number
            )()
            number += 1
    print(f"  {examples} scenarios from seed {first} on, nothing found", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.load.sessions")
    parser.add_argument("parts", nargs="*", metavar="part")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--rp-sessions", type=int, default=10_000)
    arguments = parser.parse_args()
    parts: dict[str, Callable[[Stack], bool]] = {
        "search": lambda stack: search(stack, arguments.minutes),
        "races": lambda stack: races(stack, arguments.pairs),
        "session": lambda stack: session(stack, 1000),
        "subject": lambda stack: subject(stack, arguments.rp_sessions),
        "calls": calls,
    }
    stack = Stack.load()
    good = [parts[part](stack) for part in arguments.parts or parts]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
