"""session_expiry: ends the sessions that have expired, on a schedule."""

import time
from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.aws.clients import CONFIG
from backchannel.aws.sqs import Queue
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger
from backchannel.runtime.settings import from_environment
from backchannel.sessions.expiry import ExpiryPass
from backchannel.sessions.intake import Intake
from backchannel.sessions.table import Sessions

TIME_RESERVE = 15_000
"""Milliseconds: with less than this left, the rest waits for the next pass."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    session_ended_queue_url: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
sessions = Sessions(dynamodb, settings.sessions_table)
expiry_pass = ExpiryPass(
    Providers(dynamodb, settings.providers_table),
    sessions,
    Intake(sessions, Queue(boto3.client("sqs", config=CONFIG), settings.session_ended_queue_url)),
)


@logger.inject_lambda_context(clear_state=True)
def handler(_: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Make one pass."""
    ended = expiry_pass.run(
        now=round(time.time() * 1000),
        time_is_short=lambda: context.get_remaining_time_in_millis() < TIME_RESERVE,
    )
    logger.info("sessions.expired", ended=ended)
    return {"ended": ended}
