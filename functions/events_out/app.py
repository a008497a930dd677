"""events_out: puts what happened on the operator's event bus."""

from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.announcements.consumer import EventsOutConsumer
from backchannel.aws.clients import CONFIG
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.event_bus import EventBus
from backchannel.aws.sqs import Queue, SqsRecord
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    event_bus_name: str
    event_source: str
    events_out_queue_url: str
    events_out_dead_letter_queue_url: str


settings = from_environment(Settings)
sqs = boto3.client("sqs", config=CONFIG)
consumer = EventsOutConsumer(
    EventBus(boto3.client("events", config=CONFIG), settings.event_bus_name, settings.event_source),
    Queue(sqs, settings.events_out_queue_url),
    DeadLetters(Queue(sqs, settings.events_out_dead_letter_queue_url)),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    """Announce a batch; what the bus does not take is reported, so that SQS delivers it again."""
    stay = consumer.handle([SqsRecord.of(record) for record in event["Records"]])
    return {"batchItemFailures": [{"itemIdentifier": record.message_id} for record in stay]}
