"""`python -m tests.load.backlog`: whether the backlog of a relying party that is down delays a logout that comes after it.

An hour ago a relying party went down, and thousands of its deliveries wait in RetryQueue. Through the deployed service, sessions
at another one end, each on its own: before there is a backlog, beside one that sleeps, and beside one that comes up all the time.
The local AWS is the slower the more its queues hold, whoever waits for what; so the last two are compared.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

from backchannel.deliveries.outcomes import PENDING
from local.client import Stack
from tests.support.acceptance import seconds_to_acceptance
from tests.support.aws import Aws
from tests.support.backlog import Backlog
from tests.support.provider import Provider
from tests.support.relying_party import Answer, RelyingParty

OUTAGE = 3600
"""Seconds since the relying party went down."""

ASLEEP = [900]
COMING_UP = range(0, 900, 7)
"""Seconds after which deliveries are due: all later than the run, or all over the quarter of an hour that they wait by then."""

LOGOUTS = 60
WARM_UP = 5
RATIO_LIMIT = 1.5


def times(provider: Provider, client_id: str, rp: RelyingParty, name: str) -> list[float]:
    """End sessions one after the other; return and print how many milliseconds each takes until its token is there."""
    found = [seconds_to_acceptance(provider, client_id, rp) * 1000 for _ in range(LOGOUTS)]
    print(f"  {name}: median {statistics.median(found):4.0f} ms, p95 {p95(found):4.0f} ms to the token", flush=True)
    return found


def p95(found: Sequence[float]) -> float:
    return statistics.quantiles(found, n=20)[-1]


def measure(stack: Stack, count: int) -> bool:
    """Measure all three; True when the backlog is no burden, and nothing of it is lost."""
    print(f"backlog: {count} deliveries of a relying party that is down", flush=True)
    sqs, retry_queue = Aws(stack).client("sqs"), stack.queues["RetryQueue"]
    provider = Provider(stack)
    provider.create()
    with RelyingParty(Answer(503)) as down, RelyingParty() as healthy:
        down_id, healthy_id = provider.register_client(down), provider.register_client(healthy)
        for _ in range(WARM_UP):
            seconds_to_acceptance(provider, healthy_id, healthy)
        times(provider, healthy_id, healthy, "without it          ")
        Backlog(stack, provider, down_id, count, age=OUTAGE).queue("RetryQueue", ASLEEP)
        asleep = times(provider, healthy_id, healthy, "beside it asleep    ")
        sqs.purge_queue(QueueUrl=retry_queue)
        backlog = Backlog(stack, provider, down_id, count, age=OUTAGE)
        backlog.queue("RetryQueue", COMING_UP)
        began, before = time.monotonic(), backlog.come_up()
        coming_up = times(provider, healthy_id, healthy, "beside it, coming up")
        rate = (backlog.come_up() - before) / (time.monotonic() - began)
        found = backlog.deliveries()
        sqs.purge_queue(QueueUrl=retry_queue)
    ratio = statistics.median(coming_up) / statistics.median(asleep)
    pending = sum(each.status in PENDING for each in found)
    print(f"  {rate:.0f} of it came up in a second; {pending} of {len(found)} still wait")
    print(f"  median beside a backlog that comes up: {ratio:.2f} of that beside one asleep (at most {RATIO_LIMIT})")
    return ratio <= RATIO_LIMIT and pending == len(found) == count


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.backlog")
    parser.add_argument("--deliveries", type=int, default=10_000)
    return 0 if measure(Stack.load(), parser.parse_args().deliveries) else 1


if __name__ == "__main__":
    sys.exit(main())
