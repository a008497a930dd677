"""Queries: a parameter that a resource does not have is refused on every route of the operator's interface."""

import json
from typing import Any

import pytest

from backchannel.api.resolver import app
from local.openapi import DOCUMENT
from tests.support.deployed import CONTEXT

OPENAPI: dict[str, Any] = json.loads(DOCUMENT.read_text())
BODIES: dict[str, dict[str, object]] = {
    "put /providers/{provider}": {"issuer": "https://idp.example"},
    "put /providers/{provider}/sources/{source}": {"format": "bearer"},
    "put /providers/{provider}/keys/{alg}": {
        "kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/0a7a0000-0000-4000-8000-000000000001"
    },
    "post /providers/{provider}/sources/{source}/preview": {"payload": {}},
    "post /providers/{provider}/sessions": {"sub": "ada", "client_id": "wiki"},
    "post /mass-logouts": {"scope": {"provider": "acme"}, "reason": "compromised"},
    "post /providers/{provider}/clients/{client_id}/redeliveries": {"since": "2026-09-01T10:00:00Z"},
}
"""The least that a route's request must have, beside its query; others take an empty object."""

QUERIES = {"get /providers/{provider}/deliveries": {"client_id": "wiki"}}
ROUTES = [
    (method, path)
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
    if operation.get("security") != []  # the operator's
]


def ask(method: str, path: str, given: dict[str, str]) -> tuple[int, dict[str, Any]]:
    route = f"{method} {path}"
    query = QUERIES.get(route, {}) | given
    for name in ("provider", "source", "logout_id", "client_id", "alg"):
        path = path.replace(f"{{{name}}}", "acme")
    path = path.replace("{mass_logout_id}", "0a7a0000-0000-4000-8000-000000000001")
    event: Any = {
        "httpMethod": method.upper(),
        "path": path,
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "body": json.dumps(BODIES.get(route, {})) if method in {"put", "post", "patch"} else None,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()},
        "requestContext": {"stage": "live"},
    }
    answer = app.resolve(event, CONTEXT)  # type: ignore[arg-type]
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_parameter_that_the_route_does_not_have_is_refused(method: str, path: str) -> None:
    status, answer = ask(method, path, {"stauts": "rejected-secret"})

    assert (status, answer["code"]) == (400, "parameter_unknown")
    assert "secret" not in json.dumps(answer)
    assert "stauts" not in json.dumps(answer)


def test_the_answer_names_the_parameters_that_there_are() -> None:
    _, answer = ask("get", "/providers/{provider}/clients", {"limt": "10"})

    assert "after, limit" in answer["detail"]
