"""`python -m local.openapi`: writes docs/openapi.json, the description of the operator's interface, from the code."""

import json
from pathlib import Path

from backchannel import __version__
from backchannel.api.resolver import app

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
    for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(render())
