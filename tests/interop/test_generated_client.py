"""A public generator makes a client of docs/openapi.json, and the client works against the deployed service."""

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.client import Stack
from local.openapi import DOCUMENT

BIN = Path(__file__).resolve().parents[2] / ".venv" / "generated-client" / "bin"
DRIVER = Path(__file__).with_name("generated_client.py")
CONFIGURATION = {
    "package_name_override": "backchannel_client",
    "project_name_override": "backchannel-client",
    "post_hooks": [],  # it need not be pretty
    "content_type_overrides": {  # what the generator does not know
        "application/secevent+jwt": "application/octet-stream",
        "application/x-ndjson": "application/octet-stream",
    },
}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own words
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the client. A warning of the generator is a failure: it would leave something out."""
    folder = tmp_path_factory.mktemp("generated")
    configuration = folder / "configuration.json"
    configuration.write_text(json.dumps(CONFIGURATION))
    options: list[str | Path] = ["--config", configuration, "--output-path", folder / "client", "--fail-on-warning"]
    run(BIN / "openapi-python-client", "generate", "--path", DOCUMENT, *options)
    return folder / "client"


def test_a_generated_client_has_every_operation(generated: Path) -> None:
    paths = json.loads(DOCUMENT.read_text())["paths"]
    described = {operation["operationId"] for methods in paths.values() for operation in methods.values()}

    modules = {path.stem for path in (generated / "backchannel_client" / "api" / "default").glob("*.py")} - {"__init__"}
    imports = "".join(f"import backchannel_client.api.default.{module}\n" for module in sorted(modules))

    assert modules == described
    run(BIN / "python", "-c", f"import sys; sys.path.insert(0, {str(generated)!r})\n{imports}")


def test_a_generated_client_works_against_the_service(generated: Path, stack: Stack) -> None:
    name = f"generated-{secrets.token_hex(4)}"

    seen: Any = json.loads(
        run(BIN / "python", DRIVER, generated, stack.api_url, stack.region, name, f"https://idp.example/{name}")
    )

    assert seen == {
        "patched": 60,
        "taken back": True,
        "resumed": False,
        "paused": True,
        "sessions": [["wiki", "ada", "s1"]],
        "logout": "s1",
        "deliveries": seen["deliveries"],
        "keys": ["RS256"],
        "refused": "malformed_request",
        "removed": "not_found",
    }
    assert set(seen["deliveries"]) <= {True}
