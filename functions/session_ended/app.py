"""session_ended: carries ended sessions out - tombstone, relying parties, one delivery each."""

import time
from dataclasses import dataclass
from random import Random
from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.aws.clients import CONFIG
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, fault_delay
from backchannel.deliveries.table import Deliveries
from backchannel.errors import MessageNotUnderstood, NotFoundError, OurFault
from backchannel.logouts.fan_out import Ending
from backchannel.logouts.table import Logouts
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.messages import EndMessage
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
    session_lifetime_days: int


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
queue = Queue(sqs, settings.session_ended_queue_url)
dead_letters = DeadLetters(Queue(sqs, settings.session_ended_dead_letter_queue_url))
rng = Random()  # noqa: S311 - spreads load, protects nothing
ending = Ending(
    Providers(dynamodb, settings.providers_table),
    Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days),
    Logouts(dynamodb, settings.deliveries_table),
    Deliveries(dynamodb, settings.deliveries_table),
    session_ended_queue=queue,
    delivery_queue=Queue(sqs, settings.delivery_queue_url),
)


def carry_out(record: dict[str, Any], context: LambdaContext) -> bool:
    """Carry out one ended session; False when it has to come back."""
    try:
        message = EndMessage.from_json(record["body"])
        logger.append_keys(provider=message.provider, logout_id=message.logout_id)
        finished = ending.carry_out(
            message,
            now=lambda: round(time.time() * 1000),
            time_is_short=lambda: context.get_remaining_time_in_millis() < TIME_RESERVE,
        )
    except MessageNotUnderstood as fault:
        return dead_letters.take(record, fault)
    except OurFault as fault:
        logger.error("session.postponed", code=fault.code, detail=str(fault))
        metrics.add_metric("Postponed", MetricUnit.Count, 1)
        queue.give_back(record["receiptHandle"], fault_delay(record, rng))
        return False
    except NotFoundError as error:
        # The operator removed the provider meanwhile, with all its clients: nobody is left to be told.
        logger.warning("session.dropped", code=error.code, detail=str(error))
        return True
    if not finished:
        queue.give_back(record["receiptHandle"], 0)
    logger.info("session.ended", finished=finished, sweep=message.sweep, late_start=message.only_client_id is not None)
    return finished


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Carry out a batch; what is not finished is reported, so that SQS delivers it again."""
    failed = [record["messageId"] for record in event["Records"] if not carry_out(record, context)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
