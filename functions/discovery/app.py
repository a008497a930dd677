"""discovery: publishes the provider's keys together with ours, and its discovery document, which says where they are."""

import re
from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.discovery import Publisher, cacheable
from backchannel.api.event_handler import answer_with_problems
from backchannel.aws.clients import CONFIG
from backchannel.egress.post import Egress
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.tokens.documents import Documents
from backchannel.tokens.fetched_documents import FetchedDocuments

PATIENCE = 3.0
"""Seconds for one of the provider's documents. A relying party waits for both, and for no more than a few seconds."""

BASE = re.compile(r"^.*(?=/providers/[^/]+/(?:jwks\.json|\.well-known/))")
"""What comes before our own path: the stage, or the base path of a custom domain."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    fetched_documents_table: str
    permit_private_networks: bool
    public_url: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
providers = Providers(dynamodb, settings.providers_table, permit_private_networks=settings.permit_private_networks)
publisher = Publisher(
    providers.get,  # not cached: a key is published before it signs, and withdrawn at once
    Documents(Egress(deadline=PATIENCE, preload=False).get, FetchedDocuments(dynamodb, settings.fetched_documents_table)),
)
app = APIGatewayRestResolver(strip_prefixes=[BASE])
answer_with_problems(app)


@app.route("/providers/<provider>/jwks.json", ["GET", "HEAD"])
def jwks(provider: str) -> Response[str]:
    """Return the provider's keys and those of the ring."""
    return cacheable(publisher.jwks(provider), app.current_event.headers.get("if-none-match"))


@app.route("/providers/<provider>/.well-known/openid-configuration", ["GET", "HEAD"])
def openid_configuration(provider: str) -> Response[str]:
    """Return the provider's discovery document with the URL of the JWKS above."""
    event = app.current_event
    base = settings.public_url or f"https://{event.request_context.domain_name}{BASE.findall(event.request_context.path)[0]}"
    document = publisher.openid_configuration(provider, f"{base}/providers/{provider}/jwks.json")
    return cacheable(document, event.headers.get("if-none-match"))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request; HEAD as GET, but without the body."""
    answer = app.resolve(event, context)
    return answer | {"body": ""} if event["httpMethod"] == "HEAD" else answer
