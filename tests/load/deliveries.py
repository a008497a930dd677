"""`python -m tests.load.deliveries`: many logouts through the deployed service, at relying parties good and bad.

Every delivery ends, accepted or in a state that explains itself, and the numbers add up.
"""

import argparse
import base64
import contextlib
import itertools
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
import urllib3
from botocore.config import Config

from backchannel.aws.dynamodb import key
from backchannel.deliveries.outcomes import Status
from backchannel.sessions.events import RpSessionStarted
from backchannel.sessions.table import Sessions
from local.client import Stack
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.relying_party import HANG, Answer, RelyingParty

GIVE_UP_AFTER = 120
"""Seconds: short enough for every delivery to end while somebody waits for it."""

WRITERS = 8
TRIES = 5
ACCEPTED = 202

EXPLAINED = {
    Status.UNDELIVERABLE: {"http_503", "read_timeout", "connection_reset", "circuit_open"},
}
"""Final states but ``accepted`` that a soak may end in, and the codes that explain them."""


def kinds(logouts: int) -> dict[str, tuple[Answer, ...]]:
    """Return the relying parties of a soak with their answers, the last of which is repeated."""
    return {
        "healthy-1": (Answer(),),
        "healthy-2": (Answer(),),
        "failing": (Answer(503),),
        "hanging": (HANG,),
        "flapping": (Answer(503), Answer()) * (20 * logouts),
    }


class OutOfTimeError(Exception):
    """The time bound of a run is over."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How long a run has taken, and when it has to end; in seconds."""

    began: float
    limit: float

    def wait(self, look: Callable[[], object], step: float = 2) -> None:
        """Look until there is something to see, and spend no more than a fifth of the time on looking.

        Raises:
            OutOfTimeError: there was not in time.

        """
        while True:
            looked = time.monotonic()
            if look():
                return
            if time.monotonic() - self.began > self.limit:
                raise OutOfTimeError
            time.sleep(max(step, 4 * (time.monotonic() - looked)))

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:5.0f} s  {text}", flush=True)


def deliveries_of(aws: Aws, provider: Provider, client_id: str) -> list[dict[str, Any]]:
    """Return all deliveries of a client as they stand in the table, whatever their status."""
    pages = (
        aws.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=aws.stack.tables["DeliveriesTable"],
            IndexName="by_client",
            KeyConditionExpression="client = :client",
            ExpressionAttributeValues={":client": {"S": key(provider.name, client_id)}},
        )
    )
    return [item for page in pages for item in page["Items"]]


def start_sessions(stack: Stack, provider: Provider, client_ids: Iterable[str], sids: Iterable[str]) -> None:
    """Store RP sessions as the webhook function does, without the way through it."""
    config = Config(max_pool_connections=WRITERS)
    dynamodb = boto3.client("dynamodb", endpoint_url=stack.endpoint_url, region_name=stack.region, config=config)
    sessions = Sessions(dynamodb, stack.tables["SessionsTable"])
    now = round(time.time() * 1000)

    def start(client_id: str, sid: str) -> None:
        sessions.start(provider.issuer, RpSessionStarted(f"sub-{sid}", client_id, now, sid=sid), now)

    with ThreadPoolExecutor(WRITERS) as writers:
        for _ in writers.map(start, *zip(*itertools.product(client_ids, sids), strict=True)):
            pass


def end_sessions(provider: Provider, sids: Iterable[str]) -> None:
    """Send the signed webhooks, as a sender does that repeats what was not taken in time."""

    def end(sid: str) -> None:
        event_id = secrets.token_hex(8)
        for _ in range(TRIES):
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if provider.webhook("session.ended", event_id=event_id, sid=sid).status == ACCEPTED:
                    return
        raise RuntimeError("a webhook was not taken")

    with ThreadPoolExecutor(WRITERS) as senders:
        for _ in senders.map(end, sids):
            pass


def sid_of(token: str) -> str:
    """Return the ``sid`` of a logout token, unverified."""
    payload = token.split(".")[1]
    sid: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sid"]
    return sid


@contextlib.contextmanager
def registered(provider: Provider, answers: Mapping[str, tuple[Answer, ...]]) -> Iterator[dict[str, RelyingParty]]:
    """Start relying parties and register them by their names."""
    with contextlib.ExitStack() as running:
        rps = {name: running.enter_context(RelyingParty(*each)) for name, each in answers.items()}
        for name, rp in rps.items():
            provider.register_client(rp, name, give_up_after=GIVE_UP_AFTER)
        yield rps


# --- Soak ---------------------------------------------------------------------------------------------------------------


def soak(stack: Stack, logouts: int, clock: Clock) -> bool:
    """End many sessions and follow every delivery to its end; True when all add up."""
    provider, aws = Provider(stack), Aws(stack)
    provider.create()
    sids = {f"sid-{secrets.token_hex(8)}" for _ in range(logouts)}
    with registered(provider, kinds(logouts)) as rps:
        start_sessions(stack, provider, rps, sids)
        clock.say(f"{logouts * len(rps)} RP sessions are stored")
        end_sessions(provider, sids)
        clock.say(f"{logouts} sessions have ended, by signed webhooks")
        for queue, done in (
            ("SessionEndedQueue", "all of them are fanned out"),
            ("DeliveryQueue", "all deliveries have been attempted, or wait"),
            ("RetryQueue", "none of them waits any more"),
        ):
            clock.wait(lambda queue=queue: not _waiting(aws, queue, provider))  # type: ignore[misc]
            clock.say(done)
    good = [_report(name, deliveries_of(aws, provider, name), rp, sids) for name, rp in rps.items()]
    dead = [each for queue in stack.queues if "DeadLetter" in queue for each in aws.messages(queue, provider.name)]
    print(f"{len(dead)} dead letters")
    return all(good) and not dead


def _waiting(aws: Aws, queue: str, provider: Provider) -> list[dict[str, Any]]:
    """Return what there is in a queue, but for the sweeps."""
    return [each for each in aws.messages(queue, provider.name) if '"sweep":true' not in each["Body"]]


def _report(name: str, items: list[dict[str, Any]], rp: RelyingParty, sids: set[str]) -> bool:
    """Print what became of a relying party's deliveries; True when that is what had to become of them."""
    tokens = Counter(sid_of(token) for token in rp.tokens)
    ends = Counter((Status(item["status"]["S"]), item.get("last_code", {}).get("S", "")) for item in items)
    accepted = {item["sid"]["S"] for item in items if item["status"]["S"] == Status.ACCEPTED}
    wrong: list[str] = []
    if {item["sid"]["S"] for item in items} != sids or len(items) != len(sids):
        wrong.append("not one delivery for each session")
    if not accepted <= tokens.keys():
        wrong.append("accepted without a token")
    if unexplained := [end for end in ends if end[0] is not Status.ACCEPTED and end[1] not in EXPLAINED.get(end[0], ())]:
        wrong.append(f"unexplained: {unexplained}")
    if name.startswith("healthy") and not accepted == tokens.keys() == sids:
        wrong.append("not every session was ended")
    spent = sum(int(item["attempts"]["N"]) for item in items)
    print(
        f"{name:<10} {len(items):6} deliveries, {spent:6} attempts, {tokens.total():6} tokens for {len(tokens):6} sessions"
        f" ({sum(count - 1 for count in tokens.values()):5} repeated): "
        + ", ".join(f"{count} {status} ({code})" for (status, code), count in sorted(ends.items()))
    )
    for each in wrong:
        print(f"{'':<10} WRONG: {each}")
    return not wrong


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.deliveries")
    parser.add_argument("--logouts", type=int, default=2000, help="sessions that end, each at five relying parties")
    parser.add_argument("--minutes", type=float, default=50, help="the run is given up after so many")
    chosen = parser.parse_args(arguments)
    clock = Clock(time.monotonic(), chosen.minutes * 60)
    try:
        good = soak(Stack.load(), chosen.logouts, clock)
    except OutOfTimeError:
        clock.say("out of time")
        return 1
    clock.say("as it should be" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
