"""As much of the AWS command line as the documents use, over boto3: `python -m tests.support.aws_cli kms get-public-key …`."""

import base64
import re
import sys
from typing import Any

import boto3
import jmespath  # type: ignore[import-untyped] # boto3 has it


def run(service: str, operation: str, options: dict[str, list[str]]) -> Any:
    """Return what an operation answers; the command line tells its parameters' types by the service's model."""
    client: Any = boto3.client(service)  # type: ignore[call-overload]
    method = operation.replace("-", "_")
    members = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape.members
    names = {re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower(): name for name in members}
    arguments = {names[option]: _value(members[names[option]].type_name, values) for option, values in options.items()}
    return getattr(client, method)(**arguments)


def _value(kind: str, values: list[str]) -> Any:
    if kind == "list":
        return [_structure(value) if "=" in value else value for value in values]
    return int(values[0]) if kind == "integer" else values[0]


def _structure(text: str) -> dict[str, Any]:
    """Read ``Key=name,Values=one``."""
    members = dict(each.split("=", 1) for each in text.split(","))
    return {name: [value] if name.endswith("s") else value for name, value in members.items()}


def _text(found: Any) -> str:
    if isinstance(found, list):
        return "\t".join(map(_text, found))
    return base64.b64encode(found).decode() if isinstance(found, bytes) else str(found)


def _options(words: list[str]) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            values = options.setdefault(word.removeprefix("--"), [])
        else:
            values.append(word)
    return options


if __name__ == "__main__":
    service, operation, *words = sys.argv[1:]
    options = _options(words)
    (query,) = options.pop("query", ["@"])
    if options.pop("output", ["text"]) != ["text"]:
        sys.exit("the documents ask for text")
    sys.stdout.write(_text(jmespath.search(query, run(service, operation, options))) + "\n")
