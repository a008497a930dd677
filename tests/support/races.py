"""A start and its session's end, sent side by side through the deployed service."""

import contextlib
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import urllib3

from tests.support.polling import STEP
from tests.support.provider import Provider
from tests.support.signing import unverified_part
from tests.support.unspeakable import new_id

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
