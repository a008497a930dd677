"""session_ended: fans an ended session out. It writes a tombstone, finds the relying parties, queues one delivery for each."""

from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.aws.clients import CONFIG
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord
from backchannel.deliveries.announcing import announcer_if_on
from backchannel.deliveries.table import Deliveries
from backchannel.logouts.consumer import FanOutConsumer
from backchannel.logouts.fan_out import FanOut
from backchannel.logouts.table import Logouts
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.table import Sessions

TIME_RESERVE = 15_000
"""Milliseconds: with less than this left, the message is given back instead of another page begun."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    deliveries_table: str
    session_ended_queue_url: str
    session_ended_dead_letter_queue_url: str
    delivery_queue_url: str
    mass_logout_ended_queue_url: str
    mass_logout_ended_queue_arn: str
    mass_delivery_queue_url: str
    session_lifetime_days: int
    source_activity_table: str
    events_out_queue_url: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
queue, mass_queue = Queue(sqs, settings.session_ended_queue_url), Queue(sqs, settings.mass_logout_ended_queue_url)
fan_out = FanOut(
    Providers(dynamodb, settings.providers_table),
    Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days),
    Logouts(dynamodb, settings.deliveries_table),
    Deliveries(dynamodb, settings.deliveries_table),
    session_ended_queue=queue,
    delivery_queue=Queue(sqs, settings.delivery_queue_url),
    mass_logout_ended_queue=mass_queue,
    mass_delivery_queue=Queue(sqs, settings.mass_delivery_queue_url),
    activities=SourceActivities(dynamodb, settings.source_activity_table),
    announcer=announcer_if_on(dynamodb, settings.deliveries_table, sqs, settings.events_out_queue_url),
)
dead_letters = DeadLetters(Queue(sqs, settings.session_ended_dead_letter_queue_url))
consumer = FanOutConsumer(fan_out, queue, dead_letters)
mass_consumer = FanOutConsumer(fan_out, mass_queue, dead_letters)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Carry out a batch; what is not finished is reported, so that SQS delivers it again."""
    records = [SqsRecord.of(record) for record in event["Records"]]
    failed = [each.message_id for each in records if not _consumer_of(each).handle(each, lambda: _time_is_short(context))]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _consumer_of(record: SqsRecord) -> FanOutConsumer:
    return mass_consumer if record.queue_arn == settings.mass_logout_ended_queue_arn else consumer


def _time_is_short(context: LambdaContext) -> bool:
    return context.get_remaining_time_in_millis() < TIME_RESERVE
