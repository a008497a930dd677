"""mass_logout: works on a mass logout for some seconds: finds whom it is about, releases logouts, looks what became of them."""

from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.aws.clients import CONFIG
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord
from backchannel.logouts.mass.chunks import Chunks
from backchannel.logouts.mass.consumer import MassLogoutConsumer
from backchannel.logouts.mass.progress import Standings
from backchannel.logouts.mass.runner import MassRunner
from backchannel.logouts.mass.table import MassLogouts
from backchannel.logouts.mass.told import Told
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.table import Sessions


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    deliveries_table: str
    mass_logouts_table: str
    mass_logout_queue_url: str
    mass_logout_dead_letter_queue_url: str
    mass_logout_ended_queue_url: str
    session_lifetime_days: int
    events_out_queue_url: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
queue = Queue(sqs, settings.mass_logout_queue_url)
consumer = MassLogoutConsumer(
    MassRunner(
        MassLogouts(dynamodb, settings.mass_logouts_table),
        Chunks(dynamodb, settings.mass_logouts_table),
        Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days),
        Providers(dynamodb, settings.providers_table),
        Standings(dynamodb, settings.deliveries_table),
        Told(dynamodb, settings.deliveries_table),
        queue=queue,
        ended_queue=Queue(sqs, settings.mass_logout_ended_queue_url),
        events_out=Queue(sqs, settings.events_out_queue_url) if settings.events_out_queue_url else None,
    ),
    queue,
    DeadLetters(Queue(sqs, settings.mass_logout_dead_letter_queue_url)),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    """Work a turn; if it has to come again, its message is reported, so that SQS delivers it again."""
    failed = [each.message_id for each in map(SqsRecord.of, event["Records"]) if not consumer.handle(each)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
