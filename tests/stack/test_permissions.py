"""With IAM enforced: each permission is needed, what is missing loses nothing, and only delivery can sign."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from local.client import Response, Stack, event
from tests.stack.aws import Aws, actions
from tests.stack.conftest import MakeRelyingParty
from tests.stack.polling import until
from tests.stack.provider import SOURCE, Provider, new_secret
from tests.stack.relying_party import RelyingParty
from tests.stack.tokens import verified
from tests.stack.unspeakable import new_id

ROLES = ("WebhookRole", "SessionEndedRole", "DeliveryRole", "AdminRole", "DiscoveryRole")
KEYS = ("SigningKeyRs256", "SigningKeyPs256", "SigningKeyEs256")

# --- What a caller waits for: without the permission it is told 503, with it the same request succeeds ----------------


def start(provider: Provider) -> Response:
    return provider.webhook("rp_session.started", sub=new_id("sub"), sid=new_id("sid"), client_id="wiki")


def end(provider: Provider) -> Response:
    return provider.webhook("session.ended", sid=new_id("sid"))


def first_webhook_of_a_source(provider: Provider) -> Response:
    """Send what needs the configuration read, which webhook has kept of the other source."""
    payload = event("session.ended", sid=new_id("sid"))
    return provider.stack.webhook(provider.name, "fresh", provider.secret, secrets.token_hex(8), payload)


def read_jwks(provider: Provider) -> Response:
    return provider.stack.request("GET", f"{provider.path}/jwks.json")


def signed(method: str, path: str, document: object = None) -> Callable[[Provider], Response]:
    return lambda provider: provider.stack.request(method, provider.path + path, document, signed=True)


SOURCE_METADATA = {"format": "standard-webhooks", "secret": new_secret()}


@pytest.mark.parametrize(
    ("role", "action", "resource", "request_", "code"),
    [
        ("WebhookRole", "dynamodb:GetItem", "", first_webhook_of_a_source, "storage_unavailable"),
        ("WebhookRole", "secretsmanager:GetSecretValue", "", first_webhook_of_a_source, "storage_unavailable"),
        ("WebhookRole", "dynamodb:UpdateItem", "", start, "storage_unavailable"),
        ("WebhookRole", "dynamodb:BatchGetItem", "", start, "storage_unavailable"),
        ("WebhookRole", "sqs:SendMessage*", "", end, "queue_unavailable"),
        ("DiscoveryRole", "dynamodb:GetItem", "", read_jwks, "storage_unavailable"),
        ("AdminRole", "dynamodb:GetItem", "Providers", signed("GET", ""), "storage_unavailable"),
        ("AdminRole", "dynamodb:PutItem", "Providers", signed("PUT", "/clients/wiki", {}), "storage_unavailable"),
        ("AdminRole", "dynamodb:Query", "Providers", signed("GET", "/clients"), "storage_unavailable"),
        ("AdminRole", "dynamodb:Query", "Sessions", signed("GET", "/sessions?sub=ada"), "storage_unavailable"),
        ("AdminRole", "dynamodb:Query", "by_client", signed("GET", "/deliveries?client_id=a"), "storage_unavailable"),
        ("AdminRole", "dynamodb:GetItem", "Deliveries", signed("POST", "/logouts/id/redeliveries", {}), "storage_unavailable"),
        ("AdminRole", "dynamodb:PutItem", "Deliveries", signed("POST", "/logouts", {"sid": "s"}), "storage_unavailable"),
        ("AdminRole", "sqs:SendMessage*", "", signed("POST", "/logouts", {"sid": "s"}), "queue_unavailable"),
        (
            "AdminRole",
            "secretsmanager:CreateSecret",
            "",
            signed("PUT", f"/sources/new-{secrets.token_hex(4)}", SOURCE_METADATA),
            "storage_unavailable",
        ),
    ],
)
def test_without_the_permission_a_caller_is_told_to_come_again(
    provider: Provider, aws: Aws, role: str, action: str, resource: str, request_: Callable[[Provider], Response], code: str
) -> None:
    provider.put_source("fresh", format="standard-webhooks", secret=provider.secret)
    if request_ in {start, end}:
        end(provider)  # from now on the configuration is known

    with aws.without(role, action, resource):
        refused = request_(provider)

    assert (refused.status, refused.body["code"]) == (503, code)
    assert refused.headers["retry-after"] == "5"
    assert request_(provider).status in {200, 202, 404}


# --- What works in the background: it waits, spends no attempt, and goes on once the permission is there --------------


@contextmanager
def without_signing(aws: Aws) -> Iterator[None]:
    with aws.without_signing("SigningKeyRs256"):
        yield


def permission(role: str, action: str, resource: str) -> Callable[[Aws], object]:
    return lambda aws: aws.without(role, action, resource)
