"""`python -m tests.load.cold`: the CPU time of the first batch of ten in a fresh environment, boto3's TLS to AWS included.

Ten connections to AWS are opened, and each parses the bundle of AWS_CA_BUNDLE: once all of botocore's authorities, as without
our layer's file, once as many as that file has. AWS and the relying party are other processes. Fails if the small bundle does not
save half of the CPU time.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import botocore

from backchannel.deliveries.messages import DeliveryMessage
from backchannel.providers.clients import Client
from layers.dependencies.amazon_roots import SUBJECTS, amazon_roots
from tests.load.delivery import sink
from tests.support.aws_stand_in import aws_stand_in
from tests.support.aws_tables import LOGOUT_ID, PROVIDER, of_deliveries
from tests.support.deployed import CONTEXT, ENVIRONMENT, load, sqs_event

BATCH = 10
ROUNDS = 5
SAVED = 0.5
SID = "08a5019c-17e1-4977-8f42-65a12843ea02"
AUTHORITIES = Path(botocore.__file__).with_name("cacert.pem")


class Times(NamedTuple):
    """Of one batch: milliseconds."""

    cpu: float
    wall: float


def first_batch() -> None:
    """Handle one batch of deliveries, and print its times; the import of the function does not count."""
    app = load("delivery")
    messages = [DeliveryMessage(PROVIDER.provider, LOGOUT_ID, name, SID).to_json() for name in _names()]
    event = sqs_event("delivery", messages)
    began, began_cpu = time.perf_counter(), time.process_time()
    answer = app.handler(event, CONTEXT)
    cpu, wall = time.process_time() - began_cpu, time.perf_counter() - began
    if answer["batchItemFailures"]:
        sys.exit("cold: a record failed")
    print(json.dumps([cpu * 1000, wall * 1000]))


def measure(environment: dict[str, str]) -> Times:
    """Run a batch in a fresh interpreter."""
    command = [sys.executable, "-m", "tests.load.cold", "batch"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Times(*json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    with contextlib.ExitStack() as running:
        uri, ca_file = running.enter_context(sink())
        ca_bundle = Path(ca_file).read_text()
        clients = [
            Client(
                name,
                uri,
                id_token_signed_response_alg="ES256",
                allowed_networks=("127.0.0.0/8",),
                ca_bundle=ca_bundle,
            )
            for name in _names()
        ]
        aws = running.enter_context(aws_stand_in(of_deliveries(clients, SID, whole_session=True)))
        own = Path(aws.environment["AWS_CA_BUNDLE"]).read_text()
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        bundles = {"botocore": AUTHORITIES.read_text(), "amazon": amazon_roots(AUTHORITIES.read_text())}
        for name, bundle in bundles.items():
            (folder / name).write_text(bundle + own)
        environment = {**os.environ, **ENVIRONMENT, **aws.environment}
        rounds = [
            {name: measure({**environment, "AWS_CA_BUNDLE": str(folder / name)}) for name in bundles} for _ in range(ROUNDS + 1)
        ][1:]
    saved = statistics.median(1 - each["amazon"].cpu / each["botocore"].cpu for each in rounds)
    print(f"first batch of {BATCH} in a fresh environment")
    for name, bundle in bundles.items():
        cpu, wall = (statistics.median(times) for times in zip(*(each[name] for each in rounds), strict=True))
        print(f"{bundle.count('BEGIN CERTIFICATE') + 1:>4} authorities for AWS: {cpu:4.0f} ms of CPU time, {wall:4.0f} ms")
    print(f"{len(SUBJECTS)} instead of all save {saved:.0%} (at least {SAVED:.0%})")
    return 0 if saved >= SAVED else 1


def _names() -> list[str]:
    return [f"rp-{number}" for number in range(BATCH)]


if __name__ == "__main__":
    if sys.argv[1:] == ["batch"]:
        first_batch()
    else:
        sys.exit(main())
