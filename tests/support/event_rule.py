"""What an operator would do to hear of events: a queue, and a rule of the event bus that leads to it."""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from backchannel.announcements.details import KINDS, Detail
from local import events
from local.stack import STACK_NAME
from tests.support.aws import Aws
from tests.support.polling import until

BUS = "default"
"""The bus of the local stack: EventBusName in samconfig.toml."""

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An event's ``detail-type`` and ``detail``."""

    kind: str
    detail: Json


class Heard:
    """The events of a provider that came, in their order; each is as its schema says."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs, self._url = sqs, url
        self.events: list[Event] = []

    def wait_for(self, holds: Callable[[list[Event]], object], *, seconds: float = 20) -> list[Event]:
        """Wait until what has come is as wanted."""
        return until(self._receive, holds=holds, seconds=seconds)

    def wait_until(self, *kinds: str, seconds: float = 20) -> list[Event]:
        """Wait until each of these kinds has come; return one event for each id."""
        self.wait_for(lambda found: {*kinds} <= {each.kind for each in found}, seconds=seconds)
        return list({each.detail["id"]: each for each in self.events}.values())

    def _receive(self) -> list[Event]:
        for message in self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", []):
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            event = json.loads(message["Body"])
            assert event["source"] == f"backchannel.{STACK_NAME}"
            (kind,) = [each for each in KINDS if each.kind == event["detail-type"]]
            assert isinstance(events.adapter(kind).validate_json(json.dumps(event["detail"])), Detail)
            self.events.append(Event(event["detail-type"], event["detail"]))
        return self.events


@contextlib.contextmanager
def event_rule(aws: Aws, provider: str) -> Iterator[Heard]:
    """Hear of what happens at a provider."""
    bus, sqs, name = aws.client("events"), aws.client("sqs"), f"test-{secrets.token_hex(6)}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": [f"backchannel.{STACK_NAME}"], "detail": {"provider": [provider]}}
    bus.put_rule(Name=name, EventBusName=BUS, EventPattern=json.dumps(pattern))
    try:
        bus.put_targets(Rule=name, EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])
        yield Heard(sqs, url)
    finally:
        bus.remove_targets(Rule=name, EventBusName=BUS, Ids=["queue"])
        bus.delete_rule(Name=name, EventBusName=BUS)
        sqs.delete_queue(QueueUrl=url)
