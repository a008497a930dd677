"""`python -m local.reference`: writes docs/reference/, from docs/openapi.json, template.yaml, docs/events/ and the code."""

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from backchannel import errors
from backchannel.announcements.details import KINDS
from backchannel.deliveries import meanings, outcomes
from backchannel.deliveries.meanings import Meaning
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.errors import BackchannelError, CallerError, InternalFailure, RelyingPartyFault
from backchannel.reasons import EMERGENCIES, POLICIES, Reason
from local import command_reference, events

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "docs" / "reference"

type Json = dict[str, Any]

NOTE = "`make reference` writes this page from the code. Do not edit it.\n"


class _Parameters(yaml.SafeLoader):
    """Reads a template and leaves out what its tags stand for: no parameter has one."""


_Parameters.add_multi_constructor("!", lambda _loader, _tag, _node: None)


def cell(text: object) -> str:
    """Return a text as a cell of a table."""
    return " ".join(str(text).replace("``", "`").split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table, or nothing if it has no rows."""
    lines = [f"| {' | '.join(map(cell, row))} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""]) if lines else ""


def code(value: object) -> str:
    """Return a value as JSON writes it, in a code span."""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


# --- The API ----------------------------------------------------------------------------------------------------------


def kind(schema: Json) -> str:
    """Say in words what a value is."""
    match schema:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            said = f"[{name}](objects.md#{name.lower()})"
        case {"anyOf": kinds}:
            said = " or ".join(map(kind, kinds))
        case {"enum": values}:
            said = ", ".join(f"`{each}`" for each in values)
        case {"const": value}:
            said = f"`{value}`"
        case {"type": "array", **others}:
            said = f"list of {kind(others.get('items', {}))}"
        case {"additionalProperties": dict() as values}:
            said = f"object of {kind(values)}"
        case {"format": "date-time" | "date" as moment}:
            said = {"date-time": "time", "date": "date"}[moment]
        case _:
            said = f"{schema.get('type', 'anything')}{limits(schema)}"
    return said


def limits(schema: Json) -> str:
    """Say between which numbers, or how long, a value may be."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:.0f}"
    if low is not None:
        return f", {low:g} at least"
    return f", {schema['maxLength']} characters at most" if "maxLength" in schema else ""


def operation(method: str, path: str, described: Json) -> Iterator[str]:
    """Yield the paragraphs of an operation."""
    yield f"### {method.upper()} {path}"
    yield described["summary"] + "."
    yield described["description"].replace("docs/providers/index.md", "[its provider's page](../providers/index.md)")
    if described.get("security") == []:
        yield "Needs no SigV4."
    yield table(
        ("parameter", "in", "", ""),
        (
            (f"`{each['name']}`", each["in"], kind(each["schema"]), each.get("description", ""))
            for each in described.get("parameters", [])
            if each["in"] != "path"
        ),
    ).strip()
    content = described.get("requestBody", {}).get("content", {})
    if content:
        yield "Body: " + "; ".join(f"`{media}`, {kind(each['schema'])}" for media, each in content.items()) + "."
    answers = described["responses"].items()
    good = [f"{status} {_answer(each)}".strip() for status, each in answers if status < "400"]
    bad = [status for status, _ in answers if status >= "400"]
    yield f"Answers: {'; '.join(good)}." + (f" Problems: {', '.join(bad)}." if bad else "")


def _answer(response: Json) -> str:
    return " or ".join(kind(each.get("schema", {})) for each in response.get("content", {}).values())


def api(document: Json) -> str:
    """Return the page of the operations."""
    paths = [(method, path, each) for path, methods in document["paths"].items() for method, each in methods.items()]
    parts = [
        "# API",
        NOTE,
        (
            "Every operation of [openapi.json](../openapi.json). [The interface](../interface.md) is the overview: how to sign,"
            " what errors look like, how lists page. Problems are [codes](codes.md)."
        ),
    ]
    rooms = {"mass-logouts": "Mass logouts", "providers": "Providers and what belongs to them", "webhooks": "Webhooks"}
    for room, heading in rooms.items():
        parts.append(f"## {heading}")
        for method, path, described in paths:
            if path.split("/")[1] == room:
                parts += operation(method, path, described)
    return _page(parts)


def objects(document: Json) -> str:
    """Return the page of what requests and answers hold."""
    parts = ["# Objects of the API", NOTE, "What the bodies of [requests and answers](api.md) hold."]
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", [])
        parts += [f"## {name}", schema.get("description", "")]
        if "enum" in schema:
            parts.append(f"One of {kind(schema)}.")
        parts.append(
            table(
                ("member", "", "default", ""),
                (
                    (f"`{member}`", kind(each), _default(member, each, required), each.get("description", ""))
                    for member, each in schema.get("properties", {}).items()
                ),
            ).strip()
        )
    return _page(parts)


def _default(member: str, schema: Json, required: Sequence[str]) -> str:
    if member in required:
        return "required"
    return code(schema["default"]) if "default" in schema else ""


# --- Words of the code ------------------------------------------------------------------------------------------------


def leaves[Failure: BackchannelError](branch: type[Failure]) -> Iterator[type[Failure]]:
    """Yield the failures of a branch by their codes."""
    found = {each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, branch)}
    yield from sorted(found, key=lambda each: each.code)


def meaning(failure: type[BackchannelError]) -> str:
    """Return what a failure's docstring says; of the root of a branch, what it says of all."""
    said = inspect.getdoc(failure) or ""
    return f"{re.split('[;.]', said)[0]}." if failure in {CallerError, InternalFailure, RelyingPartyFault} else said


def comments(module: ModuleType, name: str) -> dict[str, str]:
    """Return what the comment beside each member of an enumeration says."""
    source = inspect.getsource(module)
    (found,) = (each for each in ast.parse(source).body if isinstance(each, ast.ClassDef) and each.name == name)
    lines = source.splitlines()
    members = [each for each in found.body if isinstance(each, ast.Assign)]
    return {ast.literal_eval(each.value): lines[each.lineno - 1].partition("  # ")[2] for each in members}


def tests_of_clients() -> Iterator[Meaning]:
    """Yield what a test of a client can mean."""
    values = list(vars(meanings).values())
    for value in values:
        held = value.values() if isinstance(value, dict) else [value]
        yield from (each for each in held if isinstance(each, Meaning))


def codes() -> str:
    """Return the page of statuses, codes and reasons."""
    said = comments(outcomes, "Status")
    tested = {each.code: each.text for each in tests_of_clients()}
    return _page(
        [
            "# Statuses and codes",
            NOTE,
            "Codes and statuses are stable; texts are not. [Operations](../operations.md) says what to do about each.",
            "## Statuses of a delivery",
            table(
                ("status", "final", ""),
                ((f"`{each}`", "" if each in PENDING else "yes", said[each] or _STATUSES[each]) for each in Status),
            ),
            "## Reasons",
            "Why sessions end. [Sessions](../sessions.md#why-a-session-ended) says what each decides.",
            table(
                ("word", "emergency", "a reason of its own"),
                (
                    (
                        f"`{each}`",
                        "yes" if each in EMERGENCIES else "",
                        "yes" if each in list(Reason) else "no: only in `ends_sessions`",
                    )
                    for each in POLICIES
                ),
            ),
            "## Codes of problems",
            "`code` of a problem document (RFC 9457).",
            table(
                ("status", "code", ""),
                sorted((each.status, f"`{each.code}`", meaning(each)) for each in leaves(CallerError)),
            ),
            "## Codes of internal failures",
            "Answered with 503 where a caller waits. In logs and alarms, and in a delivery that waits for us.",
            table(("code", ""), ((f"`{each.code}`", meaning(each)) for each in leaves(InternalFailure))),
            "## Codes of attempts",
            "`last_code` of a delivery is `http_<status>`, or one of these if there was no answer.",
            table(("code", ""), ((f"`{each.code}`", meaning(each)) for each in leaves(RelyingPartyFault))),
            "## Codes of a test of a client",
            table(("code", ""), ((f"`{each}`", tested[each]) for each in sorted(tested))),
        ]
    )


_STATUSES = {
    Status.QUEUED: "waits for its first attempt",
    Status.RETRYING: "the last attempt failed, and there will be another",
    Status.ACCEPTED: "the RP answered 2xx",
}
"""What the names say already."""


# --- The template, and the events that go out --------------------------------------------------------------------------


def parameters() -> str:
    """Return the page of the template's parameters."""
    template = yaml.load((ROOT / "template.yaml").read_text(), _Parameters)  # noqa: S506 - it is a SafeLoader
    return _page(
        [
            "# Parameters",
            NOTE,
            (
                "Parameters of [template.yaml](../../template.yaml). Set them in `parameter_overrides` of"
                " [samconfig.toml](../../samconfig.toml); `make deploy` gives them to SAM."
            ),
            table(
                ("parameter", "default", "values", ""),
                (
                    (f"`{name}`", f"`{each['Default']}`" if each["Default"] != "" else "", _values(each), each["Description"])
                    for name, each in template["Parameters"].items()
                ),
            ),
        ]
    )


def _values(parameter: Json) -> str:
    if "AllowedValues" in parameter:
        return ", ".join(f"`{each}`" for each in parameter["AllowedValues"])
    low, high = parameter.get("MinValue"), parameter.get("MaxValue")
    return "" if low is None else f"{low} at least" if high is None else f"{low} to {high}"


def outgoing() -> str:
    """Return the page of the events that go out."""
    parts = [
        "# Events",
        NOTE,
        "What `detail` of each event holds. [Events](../events.md) says when they come, and what you can rely on.",
    ]
    for each in KINDS:
        schema = events.schema(each)
        parts += [
            f"## {each.kind}",
            f"{schema['description']} Schema: [{each.kind}.json](../events/{each.kind}.json).",
            table(
                ("member", "", ""),
                ((f"`{name}`", kind(member), member.get("description", "")) for name, member in schema["properties"].items()),
            ),
        ]
    return _page(parts)


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip().replace("``", "`") for part in parts if part.strip()) + "\n"


def render() -> dict[str, str]:
    """Return the pages by their names."""
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    return {
        "api.md": api(document),
        "objects.md": objects(document),
        "codes.md": codes(),
        "parameters.md": parameters(),
        "events.md": outgoing(),
        "command.md": _page(command_reference.page(NOTE)),
    }


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for page, text in render().items():
        (DIRECTORY / page).write_text(text)
