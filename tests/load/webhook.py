"""`python -m tests.load.webhook`: what a warm webhook takes beyond what the local AWS itself costs.

The local AWS's own cost is measured in the same rounds: a webhook with a wrong signature reaches the function, which then makes
no call to AWS, and the calls that a start and an end make are made from here.
"""

import base64
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import boto3

from local.client import Stack, event

ROUNDS = 60
LIMIT = 100


def milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def main() -> int:
    stack = Stack.load()
    provider = f"bench-{secrets.token_hex(4)}"
    secret, wrong = ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    stack.admin("PUT", f"/providers/{provider}", {"issuer": f"http://127.0.0.1/{provider}"})
    stack.admin("PUT", f"/providers/{provider}/sources/app", {"format": "standard-webhooks", "secret": secret})

    def send(key: str, kind: str, status: int, **data: Any) -> None:
        answer = stack.webhook(provider, "app", key, secrets.token_hex(8), event(kind, **data))
        if answer.status != status:
            sys.exit(f"webhook: the service answered {answer.status}: {answer.body}")

    table = boto3.client("dynamodb", endpoint_url=stack.endpoint_url, region_name=stack.region)
    queue = boto3.client("sqs", endpoint_url=stack.endpoint_url, region_name=stack.region)
    scratch = queue.create_queue(QueueName=provider)["QueueUrl"]
    sessions = stack.tables["SessionsTable"]
    keys = [{"pk": {"S": f"BENCH#{provider}"}, "sk": {"S": str(number)}} for number in range(4)]

    def calls_of_a_start() -> None:
        for item in keys[:2]:
            table.update_item(
                TableName=sessions, Key=item, UpdateExpression="SET x = :x", ExpressionAttributeValues={":x": {"S": "x"}}
            )
        table.batch_get_item(RequestItems={sessions: {"Keys": keys, "ConsistentRead": True}})

    def calls_of_an_end() -> None:
        queue.send_message_batch(QueueUrl=scratch, Entries=[{"Id": "0", "MessageBody": "bench"}])

    measured: dict[str, list[float]] = {name: [] for name in ("start", "end", "refused", "calls of a start", "calls of an end")}
    for number in range(-5, ROUNDS):
        sid = f"{provider}-{number}"
        calls: dict[str, Callable[[], object]] = {
            "refused": partial(send, wrong, "session.ended", 401, sid=sid),
            "start": partial(send, secret, "rp_session.started", 202, sub="ada", sid=sid, client_id="wiki"),
            "end": partial(send, secret, "session.ended", 202, sid=f"none-{sid}"),
            "calls of a start": calls_of_a_start,
            "calls of an end": calls_of_an_end,
        }
        times = {name: milliseconds(call) for name, call in calls.items()}
        if number >= 0:  # the rounds before warm everything up
            for name, time_taken in times.items():
                measured[name].append(time_taken)
    queue.delete_queue(QueueUrl=scratch)

    median = {name: statistics.median(times) for name, times in measured.items()}
    good = True
    for kind, its_calls in (("start", "calls of a start"), ("end", "calls of an end")):
        beyond = median[kind] - median["refused"] - median[its_calls]
        print(
            f"webhook, {kind:<5} warm: {median[kind]:5.1f} ms, of which the local AWS {median['refused']:5.1f} ms to invoke"
            f" and {median[its_calls]:5.1f} ms for its calls: {beyond:5.1f} ms beyond (at most {LIMIT})"
        )
        good &= beyond <= LIMIT
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
