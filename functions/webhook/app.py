"""webhook: verifies the sender, turns its payload into session events, stores starts and queues ends."""

import functools
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.problems import CONTENT_TYPE, problem_of
from backchannel.api.webhooks import WebhookReceiver
from backchannel.aws.clients import CONFIG
from backchannel.aws.secrets import Secrets
from backchannel.aws.sqs import Queue
from backchannel.errors import CallerError, InternalFailure
from backchannel.providers.cache import CACHE_SECONDS, cached, with_misses
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.intake import Intake
from backchannel.sessions.table import Sessions
from backchannel.webhooks.logout_tokens import is_form
from backchannel.webhooks.request import Request

if TYPE_CHECKING:
    from backchannel.api.logout_tokens import LogoutTokenReceiver

PATIENCE = 3.0
"""Seconds for one of the provider's documents, of which there are two."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    deliveries_table: str
    fetched_documents_table: str
    permit_private_networks: bool
    session_ended_queue_url: str
    session_lifetime_days: int


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
providers = Providers(dynamodb, settings.providers_table, permit_private_networks=settings.permit_private_networks)
sessions = Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days)
receiver = WebhookReceiver(
    provider=cached(with_misses(providers.get)),
    source=cached(with_misses(providers.get_source)),
    client=cached(providers.get_client),
    secrets=Secrets(boto3.client("secretsmanager", config=CONFIG), CACHE_SECONDS),
    intake=Intake(sessions, Queue(boto3.client("sqs", config=CONFIG), settings.session_ended_queue_url)),
)


@functools.cache
def logout_tokens() -> "LogoutTokenReceiver":
    """Return what receives logout tokens. It is imported when the first comes: no other webhook waits for that."""
    from backchannel.api.logout_tokens import LogoutTokenReceiver  # noqa: PLC0415
    from backchannel.deliveries.table import Deliveries  # noqa: PLC0415
    from backchannel.egress.post import Egress  # noqa: PLC0415
    from backchannel.tokens.documents import Documents  # noqa: PLC0415
    from backchannel.tokens.fetched_documents import FetchedDocuments  # noqa: PLC0415

    copies = FetchedDocuments(dynamodb, settings.fetched_documents_table)
    return LogoutTokenReceiver(
        provider=receiver.provider,
        source=receiver.source,
        client=receiver.client,
        documents=Documents(Egress(deadline=PATIENCE, preload=False).get, copies),
        sessions=sessions,
        deliveries=Deliveries(dynamodb, settings.deliveries_table),
        intake=receiver.intake,
    )


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    """Answer one webhook."""
    path, now = event["pathParameters"], round(time.time() * 1000)
    try:
        request = Request.of(event)
        if is_form(request):
            return logout_tokens().answer(path["provider"], path["source"], request, now)
        counts = receiver.receive(path["provider"], path["source"], request, now=now)
    except (CallerError, InternalFailure) as error:
        answer = problem_of(error)
        headers = {**answer.headers, "Content-Type": CONTENT_TYPE}
        return {"statusCode": answer.status, "headers": headers, "body": answer.body}
    return {"statusCode": 202, "headers": {"Content-Type": "application/json"}, "body": json.dumps(counts)}
