"""`python -m tests.load.isolation`: whether one relying party that hangs delays the nine others of a batch.

The delivery function's real handler in this process, its real egress, and real sockets: TLS to relying parties that are
processes of their own, signatures made here. Only AWS is left out, since the local one queues far longer than a POST takes.
Batches with a tenth that works and with a tenth that hangs take turns.
"""

import contextlib
import os
import random
import socket
import statistics
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Outgoing, Queue
from backchannel.deliveries.circuits import Circuits
from backchannel.deliveries.consumer import DeliveryConsumer
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.newer_logins import NewerLogins
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.slow_clients import SlowClients
from backchannel.deliveries.table import CheckedOut, Deliveries
from backchannel.deliveries.worker import DeliveryWorker
from backchannel.egress.post import Egress
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.kms import KmsSigner
from tests.load.delivery import sink
from tests.load.senders import NOBODY, InProcessKms, NoOpenCircuits, NoSessions
from tests.support.deployed import CONTEXT, load, sqs_event

RPS = 10
HANG = 0.3
"""Seconds that a hanging relying party is waited for: much longer than the others take, and short enough for many batches."""

BATCHES = 200
WARM_UP = 10
RATIO_LIMIT = 1.2
WORKING, HANGING = "working", "hanging"
KEYS = (SigningKey("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "ES256", "ES256"),)


class TimedDeliveries(Deliveries):
    """One delivery for each client, which is always due; notes when it is accepted."""

    def __init__(self) -> None:
        self.accepted_at: dict[str, float] = {}

    def check_out(self, message: DeliveryMessage, now: int) -> CheckedOut:
        record = DeliveryRecord(
            provider=message.provider,
            logout_id=message.logout_id,
            client_id=message.client_id,
            sid=message.sid,
            sub="248289761001",
            client_sub=None,
            status=Status.QUEUED,
            attempts=0,
            issuer="https://op.example",
            ended_at=now,
            created_at=now,
            updated_at=now,
            whole_session=True,
        )
        return CheckedOut(record, str(uuid.uuid4()))

    def settle(self, delivery: CheckedOut, outcome: Outcome, *_: object) -> bool:
        if outcome.status is Status.ACCEPTED:
            self.accepted_at[delivery.record.client_id] = time.perf_counter()
        return True


class TakingQueue(Queue):
    """Takes everything."""

    def __init__(self) -> None:
        pass

    def send(self, messages: Iterable[Outgoing]) -> None:
        pass


def handler_for(clients: dict[str, Client], deliveries: Deliveries) -> ModuleType:
    """Return the handler's module, with all but AWS as it is deployed."""
    logger.registered_handler.setStream(Path(os.devnull).open("w"))  # type: ignore[attr-defined]  # noqa: SIM115
    names = "providers_table sessions_table deliveries_table circuits_table client_documents_table retry_queue_url"
    names += " delivery_dead_letter_queue_url mass_delivery_queue_url mass_delivery_queue_arn"
    os.environ |= {name.upper(): name for name in names.split()}
    os.environ |= {"RETRY_QUEUE_ARN": "retry", "PERMIT_PRIVATE_NETWORKS": "true", "AWS_DEFAULT_REGION": "eu-central-1"}
    app, queue = load("delivery"), TakingQueue()
    worker = DeliveryWorker(
        provider=lambda name: Provider(name, "https://op.example", KEYS),
        current_provider=lambda name: Provider(name, "https://op.example", KEYS),
        client=lambda _, client_id: clients[client_id],
        current_client=lambda _, client_id: clients[client_id],
        deliveries=deliveries,
        newer_logins=NewerLogins(NoSessions(), NOBODY, NOBODY),
        encryption=NOBODY,
        signer=KmsSigner(cast("Any", InProcessKms())),
        egress=Egress(read_timeout=HANG),
        circuits=Circuits(cast("Any", NoOpenCircuits()), "circuits"),
    )
    app.consumer = DeliveryConsumer(worker, queue, "retry", DeadLetters(queue), SlowClients(), NOBODY)  # type: ignore[attr-defined]
    return app


def batch(client_ids: Iterable[str]) -> dict[str, Any]:
    """Return the event of a batch, one delivery for each client, in any order."""
    messages = [DeliveryMessage("op", str(uuid.uuid4()), client_id, "sid") for client_id in client_ids]
    random.shuffle(messages)
    return sqs_event("delivery", [message.to_json() for message in messages])


def measure(clients: dict[str, Client], nine: list[str]) -> dict[str, list[float]]:
    """Return the milliseconds to acceptance at the nine, beside either tenth."""
    deliveries = TimedDeliveries()
    app = handler_for(clients, deliveries)
    times: dict[str, list[float]] = {WORKING: [], HANGING: []}
    for turn in range(WARM_UP + BATCHES):
        for tenth in (WORKING, HANGING) if turn % 2 else (HANGING, WORKING):
            deliveries.accepted_at.clear()
            event = batch([*nine, tenth])
            began = time.perf_counter()
            app.handler(event, CONTEXT)
            if turn >= WARM_UP:
                times[tenth] += [(deliveries.accepted_at[each] - began) * 1000 for each in nine]
    return times


def report(times: dict[str, list[float]]) -> bool:
    """Print both p95 and their ratio; True when one that hangs is no burden to the others."""
    p95 = {tenth: statistics.quantiles(each, n=20)[-1] for tenth, each in times.items()}
    for tenth, each in times.items():
        print(f"nine beside a {tenth} one: p50 {statistics.median(each):5.1f} ms, p95 {p95[tenth]:5.1f} ms to acceptance")
    ratio = p95[HANGING] / p95[WORKING]
    print(f"p95 with one of ten hanging: {ratio:.2f} of that without (at most {RATIO_LIMIT})")
    return ratio <= RATIO_LIMIT


def main() -> int:
    with contextlib.ExitStack() as running:
        nine = [f"rp-{number}" for number in range(1, RPS)]
        clients: dict[str, Client] = {}
        for name in (*nine, WORKING):
            uri, ca = running.enter_context(sink())
            clients[name] = _client(name, uri, Path(ca).read_text())
        silent = running.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4 * BATCHES))
        clients[HANGING] = _client(HANGING, "http://127.0.0.1:{1}/".format(*silent.getsockname()))
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # the metrics
            times = measure(clients, nine)
    return 0 if report(times) else 1


def _client(client_id: str, uri: str, ca_bundle: str | None = None) -> Client:
    return Client(
        client_id,
        uri,
        backchannel_logout_session_required=True,
        id_token_signed_response_alg="ES256",
        allowed_networks=("127.0.0.0/8",),
        ca_bundle=ca_bundle,
    )


if __name__ == "__main__":
    sys.exit(main())
