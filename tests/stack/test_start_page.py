"""docs/start.md: its commands are run in one shell, as somebody would paste them, and print what the page shows."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from local.client import Stack
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.shown import Comparison
from tests.support.snippets import blocks, sections
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.waits

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "start.md").read_text()
STEPS = blocks(sections(PAGE)["Do it yourself"], "sh", "json", "text")
END = "that was one block"


class Shell:
    """A shell that is given one block after the other; in a directory from where it finds the local stack."""

    def __init__(self, directory: Path) -> None:
        (directory / ".local").symlink_to(ROOT / ".local")
        self._process = subprocess.Popen(["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run("kill $!")
        self._process.communicate(timeout=10)

    def run(self, block: str) -> str:
        """Run a block, and return what it prints."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{block}\necho; echo {END}\n")
        stdin.flush()
        printed = []
        while (line := stdout.readline()) and line.strip() != END:
            printed.append(line)
        return "".join(printed).strip()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with Shell(tmp_path) as shell:
        yield shell


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def outputs(shell: Shell, page: Comparison) -> Iterator[tuple[str, str]]:
    """Yield for each output of the page what it shows, and what came."""
    came = ""
    for kind, block in STEPS:
        if kind != "sh":
            yield block, came
        elif "/logouts/" in block:
            came = until(partial(shell.run, page.here(block)), holds=lambda printed: '"settled":true' in printed)
        else:
            came = shell.run(page.here(block))


def test_every_command_of_the_start_page_prints_what_the_page_shows(stack: Stack, shell: Shell) -> None:
    provider = Provider(stack)
    names = {"acme": provider.name, "https://idp.example": provider.issuer, "ada": new_id("sub"), "s-1": new_id("sid")}
    page = Comparison({**names, "8931": str(free_port())})

    for shown, came in outputs(shell, page):
        if shown.startswith("{"):
            page.compare(json.loads(shown), json.loads(came))
        else:
            assert came == shown.strip()


def test_the_demo_prints_what_the_documents_show() -> None:
    done = subprocess.run([sys.executable, "-m", "local.demo"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    printed = {re.sub(r"\d+ ms", "N ms", line) for line in done.stdout.splitlines()}

    for name in ("README.md", "docs/start.md"):
        shown = next(block for _, block in blocks((ROOT / name).read_text(), "text") if "demo:" in block)
        assert {re.sub(r"\d+ ms", "N ms", line) for line in shown.splitlines()} <= printed
