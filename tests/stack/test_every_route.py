"""Every route of docs/openapi.json is called once, answers as it is described, and refuses a parameter that it does not have.

A new route gets a row here.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from local.client import Response, Stack
from local.openapi import DOCUMENT
from tests.support.provider import SOURCE, Provider
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.second

OPENAPI: dict[str, Any] = json.loads(DOCUMENT.read_text())
ROUTES: dict[str, dict[str, Any]] = {
    f"{method} {path}": operation for path, methods in OPENAPI["paths"].items() for method, operation in methods.items()
}

SID, SUB = new_id("sid"), new_id("sub")
LISTED = [f"{SUB}-{number}" for number in range(600)]
"""So many that, at one a second, the mass logout is not over before its last call."""

NAMES = {"source": SOURCE, "client_id": "wiki", "alg": "ES256"}
"""What stands in a path, beside the provider and the logout."""


@dataclass(frozen=True, slots=True)
class Call:
    """The body and the query of a route's one call, and what it is answered with."""

    document: Any = None
    query: str = ""
    status: int = 200


NO_OWN_KEY = {"kms_key_arn": "arn:aws:kms:eu-central-1:000000000000:key/0a7a0000-0000-4000-8000-000000000001"}
CALLS: dict[str, Call] = {  # in this order: what is made is removed at the end
    "get /providers": Call(query="limit=1"),
    "put /providers/{provider}": Call({"issuer": "{issuer}"}),
    "patch /providers/{provider}": Call({"session_lifetime": 3600}),
    "get /providers/{provider}": Call(),
    "get /providers/{provider}/sources": Call(),
    "put /providers/{provider}/sources/{source}": Call({"format": "standard-webhooks"}),
    "patch /providers/{provider}/sources/{source}": Call({"expected_interval": 600}),
    "get /providers/{provider}/sources/{source}": Call(),
    "post /providers/{provider}/sources/{source}/preview": Call(
        {"payload": {"type": "session.ended", "timestamp": "2026-01-01T00:00:00Z", "data": {"sid": "s"}}}
    ),
    "put /providers/{provider}/clients/{client_id}": Call({"backchannel_logout_uri": "https://rp.example/", "paused": True}),
    "patch /providers/{provider}/clients/{client_id}": Call({"exp": 60}),
    "get /providers/{provider}/clients/{client_id}": Call(),
    "get /providers/{provider}/clients": Call(),
    "get /providers/{provider}/counts": Call(query="since=2026-11-26"),
    "get /providers/{provider}/clients/{client_id}/counts": Call(query="since=2026-11-26"),
    "post /providers/{provider}/clients/{client_id}/test": Call(),
    "post /providers/{provider}/clients/{client_id}/resume": Call(),
    "post /providers/{provider}/clients/{client_id}/pause": Call(),
    "get /providers/{provider}/keys": Call(),
    "get /providers/{provider}/keys/check": Call(),
    "post /providers/{provider}/keys/rotation": Call({}, status=202),
    "put /providers/{provider}/keys/{alg}": Call(NO_OWN_KEY, status=400),
    "delete /providers/{provider}/keys/{alg}": Call(status=404),
    "get /providers/{provider}/jwks.json": Call(),
    "head /providers/{provider}/jwks.json": Call(),
    "get /providers/{provider}/.well-known/openid-configuration": Call(status=404),
    "head /providers/{provider}/.well-known/openid-configuration": Call(status=404),
    "post /webhooks/{provider}/{source}": Call(status=202),
    "get /webhooks/{provider}/{source}": Call(status=401),
    "post /providers/{provider}/sessions": Call({"sub": SUB, "client_id": "wiki", "sid": SID}, status=202),
    "get /providers/{provider}/sessions": Call(query=f"sid={SID}"),
    "post /providers/{provider}/logouts": Call({"sid": SID}, status=202),
    "get /providers/{provider}/logouts": Call(query="reason=logout"),
    "get /providers/{provider}/logouts/{logout_id}": Call(query="limit=1"),
    "post /providers/{provider}/logouts/{logout_id}/redeliveries": Call({}, status=202),
    "post /providers/{provider}/clients/{client_id}/redeliveries": Call({"since": "2026-01-01T00:00:00Z"}, status=202),
    "get /providers/{provider}/deliveries": Call(query="client_id=wiki&status=queued&status=retrying&since=2026-01-01T00:00:00Z"),
    "post /mass-logouts": Call(
        {"scope": {"provider": "{provider}", "subjects": LISTED}, "reason": "compromised", "rate": 1}, status=202
    ),
    "get /mass-logouts": Call(query="limit=1"),
    "get /mass-logouts/{mass_logout_id}": Call(),
    "patch /mass-logouts/{mass_logout_id}": Call({"rate": 2}),
    "post /mass-logouts/{mass_logout_id}/pause": Call(),
    "post /mass-logouts/{mass_logout_id}/resume": Call(),
    "post /mass-logouts/{mass_logout_id}/cancel": Call(),
    "delete /providers/{provider}/clients/{client_id}": Call(status=204),
    "delete /providers/{provider}/sources/{source}": Call(status=204),
    "delete /providers/{provider}": Call(status=204),
}


@pytest.fixture(scope="module")
def provider(stack: Stack) -> Provider:
    """Return a provider that the calls configure, use and remove."""
    provider = Provider(stack)
    provider.create()
    return provider


def is_open(route: str) -> bool:
    return bool(ROUTES[route].get("security") == [])


def made(provider: Provider, route: str, call: Call, more: str = "") -> Response:
    method, _, path = route.partition(" ")
    if route == "post /webhooks/{provider}/{source}":
        return provider.webhook("session.ended", sid=SID)
    names = NAMES | {"provider": provider.name, "logout_id": provider.logout_of_session(SID)}
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    if "{mass_logout_id}" in path:
        _, listed = provider.stack.admin("GET", "/mass-logouts")
        (name,) = [each["mass_logout_id"] for each in listed["mass_logouts"] if each["provider"] == provider.name]
        path = path.replace("{mass_logout_id}", name)
    document = json.loads(json.dumps(call.document).replace("{issuer}", provider.issuer).replace("{provider}", provider.name))
    query = "&".join(each for each in (call.query, more) if each)
    return provider.stack.request(method.upper(), f"{path}?{query}" if query else path, document, signed=not is_open(route))


def test_there_is_a_call_of_every_route() -> None:
    assert set(CALLS) == set(ROUTES)


@pytest.mark.parametrize("route", CALLS)
def test_a_route_answers_as_it_is_described_and_refuses_an_unknown_parameter(provider: Provider, route: str) -> None:
    call = CALLS[route]

    if not is_open(route):
        refused = made(provider, route, call, "stauts=rejected")
        assert (refused.status, refused.body["code"]) == (400, "parameter_unknown")
    answer = made(provider, route, call)

    assert (answer.status, str(answer.status) in ROUTES[route]["responses"]) == (call.status, True), answer.body
