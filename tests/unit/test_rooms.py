"""Imports between the rooms of the library go one way; CONTRIBUTING.md has the map."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "layers" / "backchannel" / "backchannel"

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    room: frozenset(others.split())
    for room, others in {
        "errors": "",
        "reasons": "",
        "strict_json": "errors",
        "runtime": "",
        "egress": "errors",
        "aws": "errors runtime",
        "announcements": "errors runtime aws",
        "tokens": "errors strict_json aws",
        "providers": "errors reasons aws announcements egress tokens",
        "sessions": "errors reasons aws providers",
        "deliveries": "errors reasons runtime aws announcements egress tokens providers sessions",
        "logouts": "errors reasons runtime aws announcements providers sessions deliveries",
        "webhooks": "errors reasons strict_json sessions",
        "api": "errors reasons strict_json runtime aws tokens providers sessions deliveries logouts webhooks",
    }.items()
}
"""A room and the rooms that its modules may import, beside their own. A new arrow is a decision: see docs/decisions.md."""

ANY = "any room"
"""What a module may import that has the whole package, or a name which only the running program knows."""


def imports(source: str) -> Iterator[str]:
    """Yield the rooms that a module's source imports."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from rooms(alias.name for alias in names)
            case ast.ImportFrom(module, names, level):
                assert level == 0, "imports are absolute"
                yield from rooms(f"{module}.{alias.name}" for alias in names)
            case ast.Call(ast.Name("import_module"), [ast.JoinedStr([ast.Constant(str(prefix)), *_])]) if prefix.endswith("."):
                yield from rooms([prefix])  # the room is written down, only the module is not
            case ast.Call(ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module")):
                yield ANY


def rooms(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        package, _, rest = name.partition(".")
        if package == "backchannel":
            yield rest.partition(".")[0] or ANY


def types(source: str) -> Iterator[str]:
    """Yield the names of a module's classes and of its aliases for types."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef(name) | ast.TypeAlias(ast.Name(name)):
                yield name


def room_of(module: Path) -> str:
    return module.relative_to(LIBRARY).parts[0].removesuffix(".py")


def test_every_room_is_in_the_table() -> None:
    found = {room_of(module) for module in LIBRARY.rglob("*.py")} - {"__init__"}

    assert found == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_exactly_the_rooms_that_the_table_gives_it(room: str) -> None:
    modules = [module for module in LIBRARY.rglob("*.py") if room_of(module) == room]

    imported = {other for module in modules for other in imports(module.read_text())} - {room}

    assert imported == MAY_IMPORT[room]


def test_every_room_is_above_those_that_import_it() -> None:
    above: set[str] = set()
    for room, others in MAY_IMPORT.items():
        assert others <= above, room
        above.add(room)


def test_no_class_or_alias_has_the_name_of_one_in_another_room() -> None:
    found: dict[str, set[str]] = {}
    for module in LIBRARY.rglob("*.py"):
        for name in set(types(module.read_text())):
            found.setdefault(name, set()).add(room_of(module))

    found.pop("Meta")  # what pynamodb calls the description of an index
    assert {name: sorted(those) for name, those in found.items() if len(those) > 1} == {}


def test_a_class_and_an_alias_are_types() -> None:
    assert list(types("class A: ...\ntype B = A\nc = A\n")) == ["A", "B"]


@pytest.mark.parametrize(
    "source",
    [
        "from backchannel.deliveries.table import Deliveries",
        "import backchannel.deliveries.table",
        "def late():\n    from backchannel import deliveries",
    ],
)
def test_every_form_of_import_is_seen(source: str) -> None:
    assert list(imports(source)) == ["deliveries"]


@pytest.mark.parametrize("source", ["import backchannel", "import backchannel as everything", "import json, backchannel"])
def test_an_import_of_the_whole_library_is_seen_and_in_no_table(source: str) -> None:
    assert list(imports(source)) == [ANY]


@pytest.mark.parametrize(
    "source",
    [
        'importlib.import_module("backchannel.deliveries.table")',
        'import_module("backchannel")',
        'import_module(f"backchannel.{room}")',
        '__import__("backchannel.deliveries")',
    ],
)
def test_an_import_by_a_string_is_seen_and_in_no_table(source: str) -> None:
    assert list(imports(source)) == [ANY]
