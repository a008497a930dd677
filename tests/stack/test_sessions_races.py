"""Through the deployed service: a start and an end that meet, and two ends of one session that do."""

import contextlib
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import urllib3

from tests.stack.aws import Aws
from tests.stack.conftest import MakeRelyingParty
from tests.stack.polling import STEP, until
from tests.stack.provider import Provider
from tests.stack.unspeakable import new_id
from tests.unit.fakes import unverified_part

PAIRS = 40
OFFSET = 0.05
"""Seconds at most between the two webhooks of a pair, either way."""

AT_ONCE = 2
TRIES = 10


@dataclass(frozen=True, slots=True)
class Raced:
    """How often each session's token came, and how many sessions' never did."""

    tokens: Counter[str]
    missed: int

    @property
    def duplicates(self) -> int:
        return self.tokens.total() - len(self.tokens)


def sids_of(tokens: Iterable[str]) -> Counter[str]:
    return Counter(unverified_part(token, 1)["sid"] for token in tokens)


def send(provider: Provider, kind: str, **data: str) -> None:
    """Report an event again and again until it is taken, as senders do."""
    at, event_id = datetime.now(UTC), secrets.token_hex(8)
    for _ in range(TRIES):
        with contextlib.suppress(urllib3.exceptions.TimeoutError):
            if provider.webhook(kind, at=at, event_id=event_id, **data).status == 202:
                return
    raise AssertionError(f"{kind} was not taken")


def race(provider: Provider, client_id: str, received: Callable[[], Counter[str]], pairs: int, seed: int) -> Raced:
    """Send pairs of a start and its session's end side by side; ``received`` counts the tokens by ``sid``."""
    chosen = random.Random(seed)  # noqa: S311 - offsets
    offsets = [(chosen.uniform(0, OFFSET), chosen.uniform(0, OFFSET)) for _ in range(pairs)]
    sids = [new_id("sid") for _ in range(pairs)]

    def start(sid: str, after: float) -> None:
        time.sleep(after)
        send(provider, "rp_session.started", sub=new_id("sub"), sid=sid, client_id=client_id)

    def end(sid: str, after: float) -> None:
        time.sleep(after)
        send(provider, "session.ended", sid=sid)

    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        sent = []
        for sid, (start_after, end_after) in zip(sids, offsets, strict=True):
            sent += [pool.submit(start, sid, start_after), pool.submit(end, sid, end_after)]
    for each in sent:
        each.result()
    deadline = time.monotonic() + 60
    while True:
        tokens = received()
        missed = sum(not tokens[sid] for sid in sids)
        if missed == 0 or time.monotonic() > deadline:
            return Raced(tokens, missed)
        time.sleep(STEP)


def test_the_rp_of_every_session_whose_start_and_end_meet_is_told(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)

    raced = race(provider, client_id, lambda: sids_of(rp.tokens), PAIRS, seed=1)
    aws.wait_until_handled(provider.name)

    assert (raced.missed, raced.duplicates) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("session.ended", "user.sessions_ended"),  # Okta: end of the session, and all sessions cleared
        ("session.ended", "session.ended"),  # Keycloak: logout, and the administrator removes the same session
        ("user.sessions_ended", "user.sessions_ended"),
    ],
)
def test_two_different_ends_of_one_session_at_the_same_time_bring_each_rp_one_token(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, kind: str, other: str
) -> None:
    rps = [relying_party() for _ in range(3)]
    sub, sid = new_id("sub"), new_id("sid")
    for rp in rps:
        provider.start(provider.register_client(rp), sub=sub, sid=sid)
    together = threading.Barrier(2)

    def end(kind: str) -> int:
        together.wait()
        event_id = secrets.token_hex(8)
        if kind == "session.ended":
            return provider.webhook(kind, event_id=event_id, sid=sid).status
        return provider.webhook(kind, event_id=event_id, sub=sub).status

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(end, (kind, other))) == [202, 202]
    until(lambda: [len(rp.requests) for rp in rps], holds=all)
    aws.wait_until_handled(provider.name)

    assert [len(rp.requests) for rp in rps] == [1, 1, 1]
