"""`python -m tests.load.mass_logout [--sessions N] [--rate R] [--minutes M] [--undisturbed]`: a mass logout, disturbed.

RP sessions of three clients, one of which is down, are ended at a rate. Meanwhile users log in, daily logouts go on, the run is
killed twice, and paused and resumed once. Exits non-zero if anybody was missed, a newer login was ended, or a bound was passed.
Undisturbed, it shows how soon progress is told of a large one, for so many minutes, and leaves the rest.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from backchannel.sessions.events import RpSessionStarted
from local.client import Stack
from tests.load.sessions import workers
from tests.load.sink import Connection
from tests.support.mass_logouts import MassLogoutRun, by_client, store
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.signing import unverified_part

RATE_WITHIN = 0.10
SLOWER = 1.5
ANSWER = 2.0
"""Seconds in which progress has to be told."""

SESSIONS_EACH = 4
"""RP sessions of a user at each client, which one token ends. The emulator carries two users a second, and daily logouts."""

DAILY = 15
"""Daily logouts whose times are compared, before and meanwhile."""

_FUNCTION = "MassLogoutFunction"


class Tokens:
    """What relying parties were sent, and when."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, Json]] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        claims = unverified_part(body.decode().removeprefix("logout_token="), 1)
        with self._lock:
            self.taken.append((time.time(), claims))

    def of(self, client_id: str) -> list[tuple[float, Json]]:
        with self._lock:
            return [(at, claims) for at, claims in self.taken if claims["aud"] == client_id]


@contextlib.contextmanager
def listening() -> Iterator[tuple[Tokens, str]]:
    """Run relying parties in a thread; yield what they take, and their URI."""
    tokens, loop = Tokens(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(loop.create_server(lambda: Connection(tokens.take), "127.0.0.1", 0), loop).result()
    try:
        yield tokens, f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/logout"
    finally:
        loop.call_soon_threadsafe(serving.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def old_sids(sub: str) -> list[str]:
    """Return the sids of the sessions that a subject has at each client before the mass logout."""
    return [f"old-{number}-{sub}" for number in range(SESSIONS_EACH)]


@dataclass
class Daily:
    """Logouts of another provider, one after another, each with the seconds to its token."""

    provider: Provider
    client_id: str
    tokens: Tokens
    seconds: list[float] = field(default_factory=list)

    def log_out(self) -> None:
        sid = secrets.token_hex(8)
        self.provider.start(self.client_id, sub=f"daily-{sid}", sid=sid)
        began = time.time()
        self.provider.end_session(sid)
        until(lambda: [at for at, claims in self.tokens.of(self.client_id) if claims.get("sid") == sid], seconds=120)
        self.seconds.append(next(at for at, claims in self.tokens.of(self.client_id) if claims.get("sid") == sid) - began)


@dataclass
class Sample:
    """How many tokens the mass logout had released, and in how many seconds that was answered."""

    at: float
    released: int
    answered_in: float


class Run:
    """The mass logout, what is done to it, and what is seen of it."""

    def __init__(self, sessions: int, rate: int, uri: str, daily: Daily) -> None:
        self.stack, self.rate, self.tokens, self.daily = daily.provider.stack, rate, daily.tokens, daily
        self.provider = Provider(self.stack)
        self.provider.create()
        self.up = [self.provider.register_client(uri, client_id) for client_id in ("up-1", "up-2")]
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            self.down = self.provider.register_client(f"http://127.0.0.1:{closed.getsockname()[1]}/", "down")
        self.subjects = [f"user-{n}" for n in range(sessions // (3 * SESSIONS_EACH))]
        self.samples: list[Sample] = []
        self.disturbed: list[float] = []
        self.logins: list[tuple[str, str, str]] = []
        self.over = threading.Event()

    def seed(self) -> float:
        began, started = time.monotonic(), round(time.time() * 1000) - 60_000
        clients = [*self.up, self.down]
        store(
            self.stack,
            self.provider.issuer,
            [RpSessionStarted(sub, each, started, sid) for sub in self.subjects for each in clients for sid in old_sids(sub)],
        )
        return time.monotonic() - began

    def look(self) -> Json:
        began = time.monotonic()
        seen = self.mass.look()
        self.samples.append(Sample(time.time(), 3 * seen["released"]["subjects"], time.monotonic() - began))
        return seen

    def go(self, minutes: float) -> Json:
        deadline = time.monotonic() + minutes * 60
        self.mass = MassLogoutRun(self.provider, rate=self.rate, client_rate=self.rate)
        beside = [threading.Thread(target=each, daemon=True) for each in (self._log_in, self._log_out_daily)]
        for each in beside:
            each.start()
        whole = 3 * len(self.subjects)
        kills, is_paused = [0.25, 0.7], False
        while True:
            seen = self.look()
            released = self.samples[-1].released / whole
            if kills and released >= kills[0] and workers(_FUNCTION):
                for pid in workers(_FUNCTION):
                    os.kill(pid, signal.SIGKILL)
                self.disturbed.append(time.time())
                print(f"  killed the run at {released:.0%}", flush=True)
                kills.pop(0)
            if not is_paused and released >= 0.5:
                is_paused = self._pause()
            if self._is_through(seen) or time.monotonic() > deadline:
                break
            time.sleep(1)
        self.over.set()
        for each in beside:
            each.join()
        assert not kills, "it was not killed twice"
        assert is_paused
        return self.look()

    def go_undisturbed(self, minutes: float) -> Json:
        deadline = time.monotonic() + minutes * 60
        self.mass = MassLogoutRun(self.provider, rate=self.rate, client_rate=self.rate)
        while not self._is_through(self.look()) and time.monotonic() < deadline:
            time.sleep(5)
        return self.look()

    def _is_through(self, seen: Json) -> bool:
        counts = seen["clients"]
        accepted = all(counts.get(each, {}).get("accepted", 0) >= len(self.subjects) for each in self.up)
        return accepted and by_client(seen)[self.down] >= len(self.subjects)

    def _pause(self) -> bool:
        self.mass.pause()
        time.sleep(3)
        before = self.look()["released"]
        time.sleep(3)
        after = self.look()["released"]
        self.mass.resume()
        self.disturbed.append(time.time())
        print(f"  paused; {after['sessions'] - before['sessions']} released meanwhile", flush=True)
        assert before == after
        return True

    def _log_in(self) -> None:
        number = 0
        while not self.over.wait(2):
            number += 1
            sub, client_id, sid = self.subjects[-number % len(self.subjects)], self.up[number % 2], f"new-{number}"
            self.provider.start(client_id, sub=sub, sid=sid)
            self.logins.append((client_id, sub, sid))

    def _log_out_daily(self) -> None:
        while not self.over.wait(2):
            self.daily.log_out()

    # --- what was seen ------------------------------------------------------------------------------------------------

    def missed(self) -> int:
        """Return how many were not told: of the subject, or of each of its sessions."""
        told = {client: {claims.get("sid") or claims["sub"] for _, claims in self.tokens.of(client)} for client in self.up}
        return sum(
            sub not in told[each] and not told[each].issuperset(old_sids(sub)) for each in self.up for sub in self.subjects
        )

    def ended_newer(self) -> int:
        sids = {(client, claims.get("sid")) for client in self.up for _, claims in self.tokens.of(client)}
        ended = {
            (each["client_id"], each["sid"])
            for _, sub, _ in self.logins
            for each in self.provider.rp_sessions(sub=sub)
            if each["ended_at"] is not None
        }
        return sum((client, sid) in sids | ended for client, _, sid in self.logins)

    def rates(self) -> list[float]:
        """Return tokens a second in stretches of twenty seconds or more that nothing disturbed."""
        rates, first = [], None
        whole = self.samples[-1].released
        for sample in self.samples:
            disturbed = any(at - 8 <= sample.at <= at + 35 for at in self.disturbed)
            if disturbed or not 0 < sample.released < whole:
                first = None
            elif first is None:
                first = sample
            elif sample.at - first.at >= 20:
                rates.append((sample.released - first.released) / (sample.at - first.at))
                first = sample
        return rates


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.load.mass_logout")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--undisturbed", action="store_true")
    arguments = parser.parse_args()
    stack = Stack.load()
    with listening() as (tokens, uri):
        provider = Provider(stack)
        provider.create()
        daily = Daily(provider, provider.register_client(uri, f"daily-{secrets.token_hex(4)}"), tokens)
        run = Run(arguments.sessions, arguments.rate, uri, daily)
        print(f"mass logout: {arguments.sessions} RP sessions, stored in {run.seed():.0f} s", flush=True)
        if arguments.undisturbed:
            seen = run.go_undisturbed(arguments.minutes)
            run.mass.cancel()
            slowest = max(each.answered_in for each in run.samples)
            print(f"  found {seen['found']}, released {seen['released']}; progress answered within {slowest:.2f} s")
            return 0 if slowest <= ANSWER else 1
        for _ in range(DAILY):
            daily.log_out()
        usual, daily.seconds = daily.seconds[3:], []
        began = time.monotonic()
        seen = run.go(arguments.minutes)
        print(f"  {time.monotonic() - began:.0f} s; {seen['deliveries']}; {len(run.logins)} logins meanwhile", flush=True)
        print(f"  {run.mass.cancel()['state']}", flush=True)
        return 0 if report(run, seen, usual, daily.seconds) else 1


def report(run: Run, seen: Json, usual: list[float], meanwhile: list[float]) -> bool:
    missed, newer = run.missed(), run.ended_newer()
    recorded = by_client(seen)[run.down]
    duplicates = Counter((claims["aud"], claims.get("sub"), claims.get("sid")) for _, claims in run.tokens.taken)
    print(f"  {missed} missed, {newer} newer logins ended, {sum(n - 1 for n in duplicates.values())} duplicates")
    print(f"  the client that is down: {recorded} of {len(run.subjects)} deliveries on record")
    rates, slowest = run.rates(), max(each.answered_in for each in run.samples)
    print(f"  released a second, of {run.rate} asked for: {', '.join(f'{rate:.1f}' for rate in rates) or 'too short to say'}")
    print(f"  progress answered within {slowest:.2f} s")
    before, after = statistics.median(usual), statistics.median(meanwhile)
    print(f"  a daily logout: {before:.2f} s before, {after:.2f} s meanwhile (medians of {len(usual)} and {len(meanwhile)})")
    return (
        missed == newer == 0
        and recorded == len(run.subjects)
        and all(abs(rate / run.rate - 1) <= RATE_WITHIN for rate in rates)
        and slowest <= ANSWER
        and after <= SLOWER * before
    )


if __name__ == "__main__":
    sys.exit(main())
