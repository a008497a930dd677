"""How many calls to AWS something takes, and how many write units of DynamoDB."""

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3

from backchannel.aws.sqs import Queue
from backchannel.deliveries.table import Deliveries
from backchannel.logouts.fan_out import FanOut
from backchannel.logouts.table import Logouts
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Provider, Providers
from backchannel.sessions.events import RpSessionStarted, SessionEnded
from backchannel.sessions.intake import end_message
from backchannel.sessions.table import Sessions
from local.client import Stack


class CountedCalls:
    """Clients for the stack's AWS, how often each of their operations was called, and what its writes cost.

    ``units`` has the write units of each table, and of each index under its own name.
    """

    def __init__(self, stack: Stack) -> None:
        self.calls: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self._tables = {name: logical_id for logical_id, name in stack.tables.items()}
        self._stack = stack
        self.session = boto3.Session("test", "test", region_name=stack.region)
        self.session.events.register("before-call", self._count)
        for operation in ("UpdateItem", "PutItem"):
            self.session.events.register(f"provide-client-params.dynamodb.{operation}", self._ask)  # type: ignore[arg-type] # what it returns is sent
            self.session.events.register(f"after-call.dynamodb.{operation}", self._note)

    def client(self, service: Any) -> Any:
        return self.session.client(service, endpoint_url=self._stack.endpoint_url)

    def clear(self) -> None:
        self.calls.clear()
        self.units.clear()

    def _count(self, model: Any, **_: Any) -> None:
        self.calls[model.name] += 1

    def _ask(self, params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return params | {"ReturnConsumedCapacity": "INDEXES"}

    def _note(self, parsed: dict[str, Any], **_: Any) -> None:
        consumed = parsed.get("ConsumedCapacity")
        if consumed is None:  # the condition did not hold
            return
        self.units[self._tables[consumed["TableName"]]] += consumed["Table"]["CapacityUnits"]
        for index, units in consumed.get("GlobalSecondaryIndexes", {}).items():
            self.units[index] += units["CapacityUnits"]


def counted_fan_out(stack: Stack, rps: int, *, is_repeated: bool = False) -> Counter[str]:
    """Fan the end of a session with so many RPs out, in process, and return the calls that it took."""
    counted = CountedCalls(stack)
    dynamodb, sqs = counted.client("dynamodb"), counted.client("sqs")
    sessions = Sessions(dynamodb, stack.tables["SessionsTable"])
    providers = Providers(dynamodb, stack.tables["ProvidersTable"])
    provider = Provider(f"p-{uuid.uuid4()}", f"https://idp.example/{uuid.uuid4()}", ())
    providers.create(provider)
    now = round(time.time() * 1000)
    with ThreadPoolExecutor(8) as pool:
        starts = [RpSessionStarted("ada", f"client-{number}", now - 1000, "s1") for number in range(rps)]
        list(pool.map(lambda start: sessions.start(provider.issuer, start, now), starts))
    queues = [sqs.create_queue(QueueName=f"counted-{uuid.uuid4()}")["QueueUrl"] for _ in range(2)]
    fan_out = FanOut(
        providers,
        sessions,
        Logouts(dynamodb, stack.tables["DeliveriesTable"]),
        Deliveries(dynamodb, stack.tables["DeliveriesTable"]),
        Queue(sqs, queues[0]),
        Queue(sqs, queues[1]),
        Queue(sqs, queues[0]),
        Queue(sqs, queues[1]),
        SourceActivities(dynamodb, stack.tables["SourceActivityTable"]),
    )
    message = end_message(provider.provider, provider.issuer, SessionEnded("s1", now, "end"))
    counted.calls.clear()

    try:
        assert fan_out.carry_out(message, now=lambda: now, time_is_short=lambda: False, is_repeated=is_repeated)
        calls = counted.calls.copy()
        depth = sqs.get_queue_attributes(QueueUrl=queues[1], AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
        assert int(depth["ApproximateNumberOfMessages"]) == rps
    finally:
        for url in queues:
            sqs.delete_queue(QueueUrl=url)
        providers.delete(provider.provider)
    return calls
