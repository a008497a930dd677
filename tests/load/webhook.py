"""`python -m tests.load.webhook`: what a warm webhook takes beyond what the local AWS itself costs.

The local AWS's own cost is measured in the same rounds: a webhook with a wrong signature reaches the function, which then makes
no call to AWS, and the calls that a start, an end and a logout token make are made from here.
"""

import base64
import contextlib
import secrets
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import boto3

from local.client import Response, Stack, event
from tests.support.logout_tokens import TokenSigner
from tests.support.upstream import JWKS, UpstreamServer

ROUNDS = 60
LIMIT = 100
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


KINDS = ("start", "end", "token")


class Webhooks:
    """Sends webhooks of a provider of its own."""

    def __init__(self, stack: Stack, upstream: UpstreamServer, signer: TokenSigner, provider: str) -> None:
        self._stack, self._signer, self._provider = stack, signer, provider
        self._secret, self._wrong = ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
        path = f"/providers/{provider}"
        stack.admin("PUT", path, {"issuer": signer.issuer, "upstream": upstream.upstream})
        stack.admin("PUT", f"{path}/sources/app", {"format": "standard-webhooks", "secret": self._secret})
        stack.admin("PUT", f"{path}/sources/relay", {"format": "logout-token", "pass_on": True})
        stack.admin("PUT", f"{path}/clients/wiki", {"own_tokens": False})

    def start(self, sid: str) -> None:
        self._event(self._secret, 202, "rp_session.started", sub="ada", sid=sid, client_id="wiki")

    def end(self, sid: str) -> None:
        self._event(self._secret, 202, "session.ended", sid=f"none-{sid}")

    def refused(self, sid: str) -> None:
        self._event(self._wrong, 401, "session.ended", sid=sid)

    def token(self, sid: str) -> None:
        body = urlencode({"logout_token": self._signer.sign(self._signer.claims("wiki", sid=f"token-{sid}"))}).encode()
        _check(self._stack.request("POST", f"/webhooks/{self._provider}/relay", body=body, headers=FORM), 200)

    def _event(self, key: str, status: int, kind: str, **data: Any) -> None:
        _check(self._stack.webhook(self._provider, "app", key, secrets.token_hex(8), event(kind, **data)), status)


class Calls:
    """Makes the calls to AWS that a webhook costs."""

    def __init__(self, stack: Stack, queue_name: str) -> None:
        self._table = boto3.client("dynamodb", endpoint_url=stack.endpoint_url, region_name=stack.region)
        self._queues = boto3.client("sqs", endpoint_url=stack.endpoint_url, region_name=stack.region)
        self._queue = self._queues.create_queue(QueueName=queue_name)["QueueUrl"]
        self._sessions, self._deliveries = stack.tables["SessionsTable"], stack.tables["DeliveriesTable"]
        self._keys = [{"pk": {"S": f"BENCH#{queue_name}"}, "sk": {"S": str(number)}} for number in range(4)]

    def of_start(self) -> None:
        for key in self._keys[:2]:
            self._update(self._sessions, key)
        self._table.batch_get_item(RequestItems={self._sessions: {"Keys": self._keys, "ConsistentRead": True}})

    def of_end(self) -> None:
        self._queues.send_message_batch(QueueUrl=self._queue, Entries=[{"Id": "0", "MessageBody": "bench"}])

    def of_token(self) -> None:
        self._table.batch_get_item(RequestItems={self._sessions: {"Keys": self._keys[:1], "ConsistentRead": True}})
        self._update(self._deliveries, self._keys[0])
        self.of_start()
        self.of_end()

    def close(self) -> None:
        self._queues.delete_queue(QueueUrl=self._queue)

    def _update(self, table: str, key: Any) -> None:
        values: Any = {":x": {"S": "x"}}
        self._table.update_item(TableName=table, Key=key, UpdateExpression="SET x = :x", ExpressionAttributeValues=values)


def _check(answer: Response, status: int) -> None:
    if answer.status != status:
        sys.exit(f"webhook: the service answered {answer.status}: {answer.body}")


def milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def measure(webhooks: Webhooks, calls: Calls) -> dict[str, float]:
    """Return the median of each kind of webhook, and of the calls that it costs."""
    measured: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(-5, ROUNDS):
        sid = secrets.token_hex(8)
        times = {kind: milliseconds(partial(getattr(webhooks, kind), sid)) for kind in (*KINDS, "refused")}
        times |= {f"calls of {kind}": milliseconds(getattr(calls, f"of_{kind}")) for kind in KINDS}
        if number >= 0:  # the rounds before warm everything up
            for name, time_taken in times.items():
                measured[name].append(time_taken)
    return {name: statistics.median(times) for name, times in measured.items()}


def main() -> int:
    stack, provider = Stack.load(), f"bench-{secrets.token_hex(4)}"
    signer, calls = TokenSigner(f"http://127.0.0.1/{provider}"), Calls(stack, provider)
    with UpstreamServer(signer.issuer) as upstream, contextlib.closing(calls):
        upstream.pages[JWKS] = signer.jwk_set
        median = measure(Webhooks(stack, upstream, signer, provider), calls)
    good = True
    for kind in KINDS:
        its_calls = median[f"calls of {kind}"]
        beyond = median[kind] - median["refused"] - its_calls
        print(
            f"webhook, {kind:<5} warm: {median[kind]:5.1f} ms, of which the local AWS {median['refused']:5.1f} ms to invoke"
            f" and {its_calls:5.1f} ms for its calls: {beyond:5.1f} ms beyond (at most {LIMIT})"
        )
        good &= beyond <= LIMIT
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
