"""webhook: proves the sender, turns its payload into session events, stores starts, queues ends, answers."""

import base64
import time
from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.intake import Intake
from backchannel.observability import logger, metrics
from backchannel.problems import answer_with_problems
from backchannel.providers import Cache, Provider, Providers, Source
from backchannel.queues import Queue
from backchannel.sessions import Sessions
from backchannel.settings import from_environment
from backchannel.source_secrets import SourceSecrets
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
providers = Providers(settings.providers_table)
provider_of = Cache[str, Provider](providers.get)
source_of = Cache[tuple[str, str], Source](lambda names: providers.get_source(*names))
secrets = SourceSecrets(boto3.client("secretsmanager"))
intake = Intake(
    Sessions(settings.sessions_table, settings.session_lifetime_days),
    Queue(boto3.client("sqs"), settings.session_ended_queue_url),
)
app = APIGatewayRestResolver()
answer_with_problems(app)


@app.post("/webhooks/<provider_name>/<source_name>")
def receive(provider_name: str, source_name: str) -> tuple[dict[str, int], int]:
    """Take a webhook in; 202 says that all of it is stored or queued."""
    now = round(time.time() * 1000)
    provider, source = provider_of(provider_name), source_of((provider_name, source_name))
    webhook_format = FORMATS[source.format]
    request = Request(_raw_body(app.current_event.raw_event), app.current_event.headers)
    webhook_format.verify(request, secrets.get(source.secret_name), now)
    parsed = webhook_format.parse(request, Context(provider.issuer, source.sid_trust, now))
    taken = intake.take(provider_name, provider.issuer, parsed.events, now)
    counts = {"started": taken.started, "ended": taken.ended, "ignored": parsed.ignored}
    for name, count in counts.items():
        metrics.add_metric(f"SessionEvents{name.capitalize()}", MetricUnit.Count, count)
    logger.info("webhook.received", extra={"provider": provider_name, "source": source_name, **counts})
    return counts, 202


def _raw_body(event: dict[str, Any]) -> bytes:
    """Return the octets that the sender signed; API Gateway hands some bodies over in base64."""
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one webhook."""
    return app.resolve(event, context)
