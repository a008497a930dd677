"""The delivery function in this process: its real handler, queues of its own that a test polls, an AWS that can be faulty."""

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any, Self

import pytest
import urllib3
from botocore.config import Config

from backchannel.aws import clients as backchannel_aws
from backchannel.deliveries import outcomes
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.records import DeliveryRecord, PlannedDelivery, Run
from backchannel.deliveries.table import Deliveries
from tests.support.aws import Aws
from tests.support.deployed import CONTEXT, load
from tests.support.polling import STEP
from tests.support.provider import issuer_of
from tests.support.recorded import all_of_logout
from tests.support.unspeakable import new_id

QUEUES = ("first", "retry", "dead")
VISIBILITY = 1
"""Seconds after which a message comes back that was neither deleted nor given back."""

PATIENCE = 30
"""Seconds that a wait takes at most; only a failure takes them, however many tests share the machine."""

CONSTANTS: Mapping[str, object] = {
    "deliveries.outcomes.RETRY_SCHEDULE": (0,) * len(outcomes.RETRY_SCHEDULE),
    "aws.sqs.BACKOFF": 0,
    "deliveries.worker.RECOVERY": 0,
    "deliveries.table.LEASE": 3000,
    "providers.cache.CACHE_SECONDS": 0,
}
"""What would take longer in earnest."""

IMPATIENT = Config(retries={"total_max_attempts": 1}, read_timeout=10)
"""botocore tries once instead of three times, and takes no busy machine for a fault."""

LEASE, SETTLE = "attribute_not_exists", "last_code"
"""Words of the two UpdateItem of an attempt."""

type Json = dict[str, Any]


type Fault = Callable[[], tuple[int, Json]] | None
"""Returns status and body in the place of an answer; None breaks the connection."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the five of the default, a burst of connections waits for its SYN to be repeated


def error(code: str, status: int = 400) -> Fault:
    """Return the fault of being answered with an error, in the form that AWS gives it in its JSON protocols."""
    return lambda: (status, {"__type": f"com.amazonaws#{code}", "message": "injected"})


RESET: Fault = None


@dataclass
class Rule:
    """Which requests meet a fault: those of an operation, or of some, with a certain word in them."""

    operation: str | tuple[str, ...]
    word: str
    fault: Fault
    carried_out: bool
    met: int = 0


class FaultyAws:
    """A way to the local AWS on which requests meet faults. ``url`` is an endpoint of all services."""

    def __init__(self, endpoint_url: str) -> None:
        self._rule: Rule | None = None
        self._lock = threading.Lock()
        self._upstream = urllib3.PoolManager(maxsize=32, timeout=10, retries=False)
        self._endpoint_url = endpoint_url
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._upstream.clear()

    @contextlib.contextmanager
    def fault(
        self, operation: str | tuple[str, ...], fault: Fault, word: str = "", *, carried_out: bool = False
    ) -> Iterator[Rule]:
        """Let an operation fail, after it was ``carried_out`` or instead; a test that does not meet the fault fails."""
        rule = self._rule = Rule(operation, word, fault, carried_out)
        try:
            yield rule
        finally:
            self._rule = None
        assert rule.met, f"nobody asked for {operation}"

    def _meets(self, operation: str, body: bytes) -> Rule | None:
        with self._lock:
            rule = self._rule
            if rule is None or not operation.endswith(rule.operation) or rule.word.encode() not in body:
                return None
            rule.met += 1
            return rule

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                rule = proxy._meets(self.headers.get("X-Amz-Target", ""), body)
                if rule is None or rule.carried_out:
                    url = proxy._endpoint_url + self.path
                    headers = dict(self.headers.items()) | {"Connection": "close"}  # a kept one could be closed by now: a fault
                    answer = proxy._upstream.request("POST", url, body=body, headers=headers)
                if rule is None:
                    self._answer(answer.status, answer.data)
                elif rule.fault is not None:
                    status, document = rule.fault()
                    self._answer(status, json.dumps(document).encode())

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing: faults are counted."""

        return Handler


@dataclass(frozen=True, slots=True)
class Function:
    """One execution environment, and the part of SQS that feeds it."""

    app: ModuleType
    aws: Aws
    urls: dict[str, str]
    deliveries: Deliveries

    def queue(self, provider: str, client_id: str, *, ended_at: float | None = None) -> DeliveryMessage:
        """Record a delivery and queue its first attempt, as the fan-out does."""
        now = round((ended_at or time.time()) * 1000)
        sid = new_id("sid")
        run = Run(provider, issuer_of(provider), secrets.token_hex(16), secrets.token_hex(8), now, whole_session=True)
        assert self.deliveries.record(run, PlannedDelivery(client_id, sid, new_id("sub"), None), now)
        message = DeliveryMessage(provider, run.logout_id, client_id, sid)
        self.send("first", message)
        return message

    def send(self, queue: str, message: DeliveryMessage) -> None:
        self._sqs.send_message(QueueUrl=self.urls[queue], MessageBody=message.to_json())

    def record(self, message: DeliveryMessage) -> DeliveryRecord:
        (found,) = all_of_logout(self.deliveries, message.logout_id)
        return found

    def poll(self, queue: str) -> int:
        """Do once what Lambda does all the time; return how many messages there were."""
        arn, url = self._arn(queue), self.urls[queue]
        answer = self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"]
        )
        received = {each["MessageId"]: each for each in answer.get("Messages", [])}
        if received:
            records = [_sqs_record(each, arn) for each in received.values()]
            failures = self.app.handler({"Records": records}, CONTEXT)["batchItemFailures"]
            for message_id in received.keys() - {each["itemIdentifier"] for each in failures}:
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=received[message_id]["ReceiptHandle"])
        return len(received)

    def drain(self, queue: str, *, seconds: float = PATIENCE) -> None:
        """Feed the function from a queue until nothing is left in it.

        Raises:
            AssertionError: something is, after that time.

        """
        deadline = time.monotonic() + seconds
        while self.waiting(queue):
            assert time.monotonic() < deadline, f"not within {seconds} s"
            self.poll(queue)

    def poll_until(self, holds: Callable[[], object], *, seconds: float = PATIENCE) -> None:
        """Feed the function from both queues until something holds.

        Raises:
            AssertionError: it did not in time.

        """
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            if not self.poll("first") + self.poll("retry"):
                time.sleep(STEP)

    def settled(self, message: DeliveryMessage, *, seconds: float = PATIENCE) -> DeliveryRecord:
        """Feed the function until a delivery is final and no copy of its message is left, and return its record."""
        self.poll_until(lambda: self.waiting("first", "retry") == 0, seconds=seconds)
        return self.record(message)

    def waiting(self, *queues: str) -> int:
        """Return how many messages there are in queues, visible or not."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        found = [self._sqs.get_queue_attributes(QueueUrl=self.urls[each], AttributeNames=names) for each in queues]
        return sum(int(number) for each in found for number in each["Attributes"].values())

    def close(self) -> None:
        self.app.pool.shutdown()
        self.app.worker.egress.close()

    @property
    def _sqs(self) -> Any:
        return self.aws.client("sqs")

    def _arn(self, queue: str) -> str:
        return self.urls[queue].rpartition("/")[2] if queue != "retry" else str(self.app.settings.retry_queue_arn)


@contextlib.contextmanager
def delivery_function(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, endpoint_url: str | None = None, *, events_queue_url: str = ""
) -> Iterator[Function]:
    """Start the function as Lambda does, with its delays cut short. It announces to a queue, if there is one for that."""
    sqs, stack = aws.client("sqs"), aws.stack
    name = f"test-{secrets.token_hex(6)}"
    urls = {
        each: sqs.create_queue(QueueName=f"{name}-{each}", Attributes={"VisibilityTimeout": str(VISIBILITY)})["QueueUrl"]
        for each in QUEUES
    }
    retry_arn = sqs.get_queue_attributes(QueueUrl=urls["retry"], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    configuration = aws.client("lambda").get_function_configuration(FunctionName=stack.functions["DeliveryFunction"])
    environment = {
        **configuration["Environment"]["Variables"],
        "AWS_ENDPOINT_URL": endpoint_url or stack.endpoint_url,
        "AWS_DEFAULT_REGION": stack.region,
        "RETRY_QUEUE_URL": urls["retry"],
        "RETRY_QUEUE_ARN": retry_arn,
        "DELIVERY_DEAD_LETTER_QUEUE_URL": urls["dead"],
        "EVENTS_OUT_QUEUE_URL": events_queue_url,
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(backchannel_aws, "CONFIG", backchannel_aws.CONFIG.merge(IMPATIENT))
    for constant, value in CONSTANTS.items():
        monkeypatch.setattr(f"backchannel.{constant}", value)
    function = Function(load("delivery"), aws, urls, Deliveries(aws.client("dynamodb"), stack.tables["DeliveriesTable"]))
    try:
        yield function
    finally:
        function.close()
        for url in urls.values():
            sqs.delete_queue(QueueUrl=url)


def _sqs_record(message: Json, arn: str) -> Json:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": "eu-central-1",
    }


def side_by_side(*calls: Callable[[], object]) -> None:
    """Make calls at once, and wait for all."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
