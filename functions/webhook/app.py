"""webhook: proves the sender, turns its payload into session events, stores starts, queues ends, answers."""

import json
import time
from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.problems import CONTENT_TYPE, problem_of
from backchannel.aws.clients import CONFIG
from backchannel.aws.secrets import Secrets
from backchannel.aws.sqs import Queue
from backchannel.errors import CallerError, OurFault
from backchannel.providers.cache import CACHE_SECONDS, Cache
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider, Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.intake import Intake
from backchannel.sessions.table import Sessions
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Context, Request


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    session_ended_queue_url: str
    session_lifetime_days: int


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
providers = Providers(dynamodb, settings.providers_table)
provider_of = Cache[str, Provider](providers.get)
source_of = Cache[tuple[str, str], Source](lambda names: providers.get_source(*names))
secrets = Secrets(boto3.client("secretsmanager", config=CONFIG), CACHE_SECONDS)
intake = Intake(
    Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days),
    Queue(boto3.client("sqs", config=CONFIG), settings.session_ended_queue_url),
)


def receive(provider_name: str, source_name: str, request: Request) -> dict[str, int]:
    """Take a webhook in; once this returns, all of it is stored or queued."""
    now = round(time.time() * 1000)
    provider, source = provider_of(provider_name), source_of((provider_name, source_name))
    source_format = FORMATS[source.format]
    source_format.verify(request, secrets.get(source.secret_name), now)
    parsed = source_format.parse(request, Context(provider.issuer, source.sid_trust, now))
    taken = intake.take(provider, parsed.events, now)
    counts = {"started": taken.started, "ended": taken.ended, "ignored": parsed.ignored}
    for name, count in counts.items():
        metrics.add_metric(f"SessionEvents{name.capitalize()}", MetricUnit.Count, count)
    logger.info("webhook.received", extra={"provider": provider_name, "source": source_name, **counts})
    return counts


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    """Answer one webhook."""
    path = event["pathParameters"]
    try:
        counts = receive(path["provider"], path["source"], Request.of(event))
    except (CallerError, OurFault) as fault:
        answer = problem_of(fault)
        headers = {**answer.headers, "Content-Type": CONTENT_TYPE}
        return {"statusCode": answer.status, "headers": headers, "body": answer.body}
    return {"statusCode": 202, "headers": {"Content-Type": "application/json"}, "body": json.dumps(counts)}
