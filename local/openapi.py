"""`python -m local.openapi`: writes docs/openapi.json, the description of the interface, from the code."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from backchannel import __version__
from backchannel.api import merge_patch, sessions
from backchannel.api.requests import RpSessionStart
from backchannel.api.resolver import app
from backchannel.api.session_starts import MAX_LINES
from local import open_routes

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"

SIGV4 = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "x-amazon-apigateway-authtype": "awsSigv4",
    "description": "AWS Signature Version 4 of the service execute-api, by an IAM principal who may invoke the route.",
}
"""How API Gateway describes AWS IAM: OpenAPI itself has no word for it."""


def render() -> str:
    """Return the document as it is kept."""
    schema = app.get_openapi_json_schema(
        title="Backchannel",
        version=__version__,
        description="For the operator, who signs with SigV4: providers, sources, clients, RP sessions, logouts. For identity"
        " providers: webhooks. For relying parties: keys.",
    )
    document = json.loads(schema)
    paths, components = document["paths"], document["components"]
    for route in (*app._static_routes, *app._dynamic_routes):  # noqa: SLF001 - there is no other list
        operation = paths[route.path.replace("<", "{").replace(">", "}")][route.method.lower()]
        operation["description"] = inspect.cleandoc(route.func.__doc__ or "").replace("``", "`")
        operation["responses"].pop("422", None)  # the resolver answers 400 with a problem instead
        operation["responses"].get("204", {}).pop("content", None)
        if route.method == "PATCH":
            content = operation["requestBody"]["content"]
            content[merge_patch.MEDIA_TYPE] = content.pop("application/json")  # which is taken, too
    _describe_starts(document)
    for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    paths |= open_routes.described()
    for path, methods in paths.items():
        for method, operation in methods.items():
            operation["operationId"] = _operation_id(method, path)
    components["schemas"] |= open_routes.SCHEMAS
    components["securitySchemes"] = {"sigv4": SIGV4}
    document["security"] = [{"sigv4": []}]
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _operation_id(method: str, path: str) -> str:
    """Name an operation as a function of a generated client is named: ``put_client``, ``post_client_pause``."""
    segments: list[str] = path.strip("/").split("/")
    words = list[str]()
    for segment, following in zip(segments, [*segments[1:], ""], strict=True):
        if not segment.startswith("{"):
            words.append(segment.removesuffix("s") if following.startswith("{") else segment)
    named = words[1:] if len(words) > 1 and words[0] == "provider" else words
    return re.sub(r"[^a-z]+", "_", "_".join([method, *named]))


def _describe_starts(document: dict[str, Any]) -> None:
    """Describe the bodies of a route that reads them by itself.

    Not as ``required``: of a required body of two types, a generator makes a client that cannot be imported.
    """
    model = RpSessionStart.model_json_schema()
    document["components"]["schemas"][RpSessionStart.__name__] = model
    one = {"$ref": f"#/components/schemas/{RpSessionStart.__name__}"}
    lines = {"type": "string", "description": f"up to {MAX_LINES} lines, each an RpSessionStart in JSON that has its started_at"}
    content = {kind: {"schema": schema} for kind, schema in zip(sessions.BODIES, (one, lines), strict=True)}
    document["paths"]["/providers/{provider}/sessions"]["post"]["requestBody"] = {"content": content}


if __name__ == "__main__":
    DOCUMENT.write_text(render())
