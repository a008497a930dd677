"""`python -m local.events`: writes docs/events/, a JSON schema of each event that goes out, from the code."""

import json
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from backchannel.announcements.details import KINDS, Detail

DIRECTORY = Path(__file__).resolve().parent.parent / "docs" / "events"


def adapter(kind: type[Detail]) -> TypeAdapter[Detail]:
    """Return what reads a kind's details strictly: exactly its members, each of its type."""
    kind.__pydantic_config__ = ConfigDict(use_attribute_docstrings=True, strict=True, extra="forbid")  # type: ignore[attr-defined]
    return TypeAdapter(kind)


def schema(kind: type[Detail]) -> dict[str, Any]:
    """Return the schema of a kind's ``detail``. Consumers have to accept members that are not in it."""
    found = adapter(kind).json_schema()
    found.pop("additionalProperties", None)
    common = adapter(Detail).json_schema()["properties"]  # docstrings are not inherited
    properties = {name: _described(name, {**common.get(name, {}), **each}) for name, each in found["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": kind.kind,
        "description": kind.__doc__,
        "properties": properties,
        "required": list(properties),
    }


def _described(name: str, member: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in member.items() if key not in {"title", "default"}}
    return {**found, "format": "date-time"} if name == "at" or name.endswith("_at") else found


def render(kind: type[Detail]) -> str:
    """Return the document as it is kept."""
    return json.dumps(schema(kind), indent=2) + "\n"


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for each in KINDS:
        (DIRECTORY / f"{each.kind}.json").write_text(render(each))
