"""Imports between the rooms of the library go one way; CONTRIBUTING.md has the map."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "layers" / "backchannel" / "backchannel"

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    room: frozenset(others.split())
    for room, others in {
        "errors": "",
        "runtime": "",
        "egress": "errors",
        "aws": "errors runtime",
        "tokens": "errors aws",
        "providers": "errors aws egress tokens",
        "sessions": "errors aws providers",
        "deliveries": "errors runtime aws egress tokens providers sessions",
        "logouts": "errors runtime aws providers sessions deliveries",
        "webhooks": "errors sessions",
        "api": "errors runtime aws tokens providers sessions deliveries logouts webhooks",
    }.items()
}
"""A room and the rooms that its modules may import, beside their own. A new arrow is a decision: see docs/decisions.md."""


def imports(source: str) -> Iterator[str]:
    """Yield the rooms that a module's source imports."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("backchannel."))


def room_of(module: Path) -> str:
    return module.relative_to(LIBRARY).parts[0].removesuffix(".py")


def test_every_room_is_in_the_table() -> None:
    found = {room_of(module) for module in LIBRARY.rglob("*.py")} - {"__init__"}

    assert found == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    modules = [module for module in LIBRARY.rglob("*.py") if room_of(module) == room]

    imported = {other for module in modules for other in imports(module.read_text())} - {room}

    assert imported <= MAY_IMPORT[room]


def test_the_table_has_no_arrow_that_no_module_uses() -> None:
    used = {
        (room_of(module), other)
        for module in LIBRARY.rglob("*.py")
        for other in imports(module.read_text())
        if other != room_of(module)
    }

    assert used == {(room, other) for room, others in MAY_IMPORT.items() for other in others}


def test_no_class_has_the_name_of_a_class_in_another_room() -> None:
    rooms: dict[str, set[str]] = {}
    for module in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ClassDef):
                rooms.setdefault(node.name, set()).add(room_of(module))

    assert {name: sorted(found) for name, found in rooms.items() if len(found) > 1} == {}


def test_the_table_has_no_cycle() -> None:
    below: set[str] = set()
    for room, others in MAY_IMPORT.items():  # from the bottom up
        assert others <= below
        below.add(room)


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
