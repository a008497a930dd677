"""`python -m tests.load.handler`: the CPU time of the whole delivery handler for each record, boto3 included.

The function as it is deployed, in this process. AWS and the relying party are other processes, both reached over TLS on
connections that are kept. Configuration comes from the function's cache; the state of each circuit is read again, as it is for
an RP that was last called more than five seconds ago. In the same rounds, for comparison: our delivery path without its
calls to AWS. Fails when a record takes another number of calls to AWS than it should.
"""

import contextlib
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from backchannel.deliveries import circuits
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.providers import cache
from backchannel.providers.clients import Client
from backchannel.runtime.observability import logger
from tests.load import senders
from tests.load.delivery import sink
from tests.support.aws_stand_in import AwsStandIn, aws_stand_in
from tests.support.aws_tables import LOGOUT_ID, PROVIDER, of_deliveries
from tests.support.deployed import CONTEXT, ENVIRONMENT, load, sqs_event

ALG = "ES256"
SID = senders.SID
BATCHES = {10: 10, 1: 50}
"""How many batches of which size make a round."""

ROUNDS = 9
CALLS: Mapping[str, int] = {"UpdateItem deliveries": 2, "Query sessions": 2, "GetItem circuits": 1, "Sign": 1}
"""The calls to AWS for each record: of a client's part of a session, whose looks are as many however long a round takes."""


class CpuTimes(NamedTuple):
    """Of one round: milliseconds for each record."""

    handler: float
    core: float


def milliseconds(send: Callable[[], None], batches: int, size: int) -> float:
    began = time.process_time()
    for _ in range(batches):
        send()
    return (time.process_time() - began) * 1000 / (batches * size)


def measure(app: ModuleType, aws: AwsStandIn, core: senders.Send, client_ids: list[str], size: int) -> list[CpuTimes]:
    """Let the handler and our core take turns.

    Raises:
        SystemExit: a record took another number of calls to AWS than it should.

    """
    batches = BATCHES[size]
    messages = [DeliveryMessage(PROVIDER.provider, LOGOUT_ID, client_id, SID) for client_id in client_ids[:size]]
    event = sqs_event("delivery", [message.to_json() for message in messages])
    wanted = Counter({name: number * batches * size for name, number in CALLS.items()})

    def handle() -> None:
        answer = app.handler(event, CONTEXT)
        if answer["batchItemFailures"]:
            sys.exit("handler: a record failed")

    def deliver() -> None:
        list(app.pool.map(core, [ALG] * size))

    milliseconds(handle, 3, size)
    milliseconds(deliver, 3, size)
    aws.calls()
    times = []
    for _ in range(ROUNDS):
        handler = milliseconds(handle, batches, size)
        calls = aws.calls()
        times.append(CpuTimes(handler, milliseconds(deliver, batches, size)))
        if calls != wanted:
            sys.exit(f"handler: calls to AWS for {batches * size} records: {dict(calls)}, should be {dict(wanted)}")
    return times


def report(measured: Mapping[int, list[CpuTimes]]) -> None:
    """Print medians."""
    print(f"CPU time of the delivery handler for each record, {ALG}; our core is what is left without the calls to AWS")
    for size, rounds in measured.items():
        handler, core = (statistics.median(times) for times in zip(*rounds, strict=True))
        share = statistics.median(times.core / times.handler for times in rounds)
        spread = f"{min(rounds).handler:.2f} to {max(rounds).handler:.2f}"
        print(f"batch of {size:>2}: {handler:5.2f} ms ({spread}), our core {core:5.2f} ms: {share:4.0%}")
    calls = ", ".join(f"{name} {number}" for name, number in CALLS.items())
    print(f"calls to AWS for each record: {sum(CALLS.values())} ({calls})")


def main() -> int:
    cache.CACHE_SECONDS = 3600.0
    circuits._CONFIG.local_cache_max_age = 0
    with contextlib.ExitStack() as running:
        uri, ca_file = running.enter_context(sink())
        ca_bundle = Path(ca_file).read_text()
        clients = [_client(f"rp-{number}", uri, ca_bundle) for number in range(max(BATCHES))]
        aws = running.enter_context(aws_stand_in(of_deliveries(clients, SID, whole_session=False)))
        os.environ |= {**ENVIRONMENT, **aws.environment}
        nowhere = running.enter_context(Path(os.devnull).open("w"))
        with contextlib.redirect_stdout(nowhere):  # the metrics
            app, core = load("delivery"), senders.ours(uri, ca_bundle)
            logger.registered_handler.setStream(nowhere)  # type: ignore[attr-defined] # it is a StreamHandler
            names = [client.client_id for client in clients]
            measured = {size: measure(app, aws, core, names, size) for size in BATCHES}
        app.pool.shutdown()
    report(measured)
    return 0


def _client(client_id: str, uri: str, ca_bundle: str) -> Client:
    return Client(
        client_id,
        uri,
        backchannel_logout_session_required=True,
        id_token_signed_response_alg=ALG,
        allowed_networks=("127.0.0.0/8",),
        ca_bundle=ca_bundle,
    )


if __name__ == "__main__":
    sys.exit(main())
