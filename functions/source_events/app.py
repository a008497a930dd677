"""source_events: takes in what sources sent without HTTP, and large batches: stores starts and queues ends."""

import functools
from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.source_counter import SourceCounter
from backchannel.api.source_events import SourceEventsConsumer, source_of_sign_ins
from backchannel.api.source_intake import SourceIntake
from backchannel.aws.clients import CONFIG, IMPATIENT
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord
from backchannel.providers.cache import cached
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.intake import Intake
from backchannel.sessions.table import Sessions


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    session_ended_queue_url: str
    source_events_queue_url: str
    source_events_dead_letter_queue_url: str
    session_lifetime_days: int
    source_activity_table: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
providers = Providers(dynamodb, settings.providers_table)
sessions = Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days)


@functools.cache
def activities() -> SourceActivities:
    """Return where sources are counted. Its client is made with the first count."""
    return SourceActivities(boto3.client("dynamodb", config=IMPATIENT), settings.source_activity_table)


consumer = SourceEventsConsumer(
    provider=cached(providers.get),
    source=cached(providers.get_source),
    of_sign_ins=cached(functools.partial(source_of_sign_ins, providers)),
    client=cached(providers.get_client),
    intake=SourceIntake(Intake(sessions, Queue(sqs, settings.session_ended_queue_url)), SourceCounter(activities)),
    queue=Queue(sqs, settings.source_events_queue_url),
    dead_letters=DeadLetters(Queue(sqs, settings.source_events_dead_letter_queue_url)),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    """Take a batch in; what is not stored is reported, so that SQS delivers it again."""
    records = [SqsRecord.of(record) for record in event["Records"]]
    failed = [each.message_id for each in records if not consumer.handle(each)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
