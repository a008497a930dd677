"""discovery: publishes a provider's public keys, and what its discovery document says about back-channel logout."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.event_handler import answer_with_problems
from backchannel.aws.clients import CONFIG
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger
from backchannel.runtime.settings import from_environment
from backchannel.tokens.jwks import jwk_set

MAX_AGE = 300
"""Seconds that a relying party may keep what it read."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
provider_of = Providers(dynamodb, settings.providers_table).get  # not cached: a key is published before it signs
app = APIGatewayRestResolver()
answer_with_problems(app)


@app.get("/providers/<provider>/jwks.json")
def jwks(provider: str) -> Response[str]:
    """Return the JWK Set of the provider's ring."""
    return _cacheable(jwk_set(provider_of(provider).keys), "application/json")


@app.get("/providers/<provider>/openid-configuration")
def openid_configuration(provider: str) -> Response[str]:
    """Return the additions to the provider's discovery document (section 2.1)."""
    additions = {
        "issuer": provider_of(provider).issuer,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }
    return _cacheable(additions, "application/json")


def _cacheable(document: dict[str, Any], content_type: str) -> Response[str]:
    body = json.dumps(document, separators=(",", ":"), sort_keys=True)
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
    headers = {"Cache-Control": f"public, max-age={MAX_AGE}", "ETag": etag}
    known = [tag.strip().removeprefix("W/") for tag in (app.current_event.headers.get("if-none-match") or "").split(",")]
    if etag in known or "*" in known:
        return Response(304, body="", headers=headers)
    return Response(200, content_type, body, headers)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    return app.resolve(event, context)
