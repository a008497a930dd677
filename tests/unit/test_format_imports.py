"""Whoever sends one format waits for no code of another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backchannel.webhooks.formats import _ROWS, FORMATS

LAYER = Path(__file__).resolve().parents[2] / "layers" / "backchannel"
GENERIC = {"bearer": {"standard_webhooks"}, "signed-jwt": {"standard_webhooks"}}
"""Formats whose event is that of another format."""

LOADED = """
import sys
from backchannel.webhooks import formats
if len(sys.argv) > 1:
    formats.FORMATS[sys.argv[1]]
of_formats = {row.partition(".")[0] for row in formats._ROWS.values()}
print(*(of_formats & {name.removeprefix("backchannel.webhooks.") for name in sys.modules}))
"""


def modules_loaded(*name: str) -> set[str]:
    """Return the modules of formats that a fresh interpreter has loaded once it has read a row."""
    environment = {**os.environ, "PYTHONPATH": str(LAYER)}
    command = [sys.executable, "-c", LOADED, *name]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    return {*ran.stdout.split()}


def test_the_table_of_formats_imports_none() -> None:
    assert modules_loaded() == set()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_imports_no_module_of_another(name: str) -> None:
    own = {_ROWS[name].partition(".")[0]}

    assert modules_loaded(name) == own | GENERIC.get(name, set())
