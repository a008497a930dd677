"""`python -m local.openapi`: writes docs/openapi.json, the description of the operator's interface, from the code."""

import json
from pathlib import Path
from typing import Any

from backchannel import __version__
from backchannel.api import sessions
from backchannel.api.requests import RpSessionStart
from backchannel.api.resolver import app
from backchannel.api.session_starts import MAX_LINES

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def render() -> str:
    """Return the document as it is kept."""
    schema = app.get_openapi_json_schema(
        title="Backchannel",
        version=__version__,
        description="The operator's interface: providers, webhook sources, clients, RP sessions, logouts. Signed with SigV4.",
    )
    document = json.loads(schema)
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # the resolver answers 400 with a problem instead
    _describe_starts(document)
    for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _describe_starts(document: dict[str, Any]) -> None:
    """Describe the bodies of a route that reads them by itself."""
    model = RpSessionStart.model_json_schema()
    document["components"]["schemas"][RpSessionStart.__name__] = model
    one = {"$ref": f"#/components/schemas/{RpSessionStart.__name__}"}
    lines = {"type": "string", "description": f"up to {MAX_LINES} lines, each an RpSessionStart in JSON that has its started_at"}
    content = {kind: {"schema": schema} for kind, schema in zip(sessions.BODIES, (one, lines), strict=True)}
    document["paths"]["/providers/{provider}/sessions"]["post"]["requestBody"] = {"required": True, "content": content}


if __name__ == "__main__":
    DOCUMENT.write_text(render())
