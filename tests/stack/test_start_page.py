"""docs/start.md: its commands are run in one shell, as somebody would paste them, and print what the page shows."""

import json
import os
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
README = (ROOT / "README.md").read_text()
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
    names = {"acme": provider.name, "https://idp.example": provider.issuer, "user-1": new_id("sub"), "s-1": new_id("sid")}
    page = Comparison({**names, "8931": str(free_port())})

    for shown, came in outputs(shell, page):
        if shown.startswith("{"):
            page.compare(json.loads(shown), json.loads(came))
        else:
            assert came == shown.strip()


def ran(line: str) -> str:
    """Run a line as somebody pastes it in the clone, in a shell that knows of nothing; return what it prints."""
    shell = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    pasted = ["/bin/sh", "-c", line]
    done = subprocess.run(pasted, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=240, check=False)  # noqa: S603
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout


def pasteable(printed: str) -> list[str]:
    """Return the commands that are printed to be pasted."""
    return re.findall(r"^  (cli/bin/backchannel .+)$", printed, re.MULTILINE)


def without_ids(text: str) -> str:
    """Return a logout without what differs from run to run: ids, times."""
    text = re.sub(r"\b(demo|session)-[0-9a-f]{8}|[0-9a-f]{40}", lambda found: "0" * len(found[0]), text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", text)


@pytest.fixture(scope="module")
def demo() -> str:
    """Return what the demo prints."""
    done = subprocess.run([sys.executable, "-m", "local.demo"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout


def test_the_demo_prints_what_the_documents_show(demo: str) -> None:
    printed = {re.sub(r"\d+ ms", "N ms", line) for line in demo.splitlines()}

    for name in ("README.md", "docs/start.md"):
        shown = next(block for _, block in blocks((ROOT / name).read_text(), "text") if "demo:" in block)
        assert {re.sub(r"\d+ ms", "N ms", line) for line in shown.splitlines()} <= printed


def test_the_demo_ends_with_three_commands_that_work_when_they_are_pasted(demo: str) -> None:
    commands = pasteable(demo)
    logout, sessions, status = map(ran, commands)

    (picture,) = [block for _, block in blocks(README, "console") if "logout show" in block]
    assert without_ids(picture) == without_ids(f"$ {commands[0]}\n{logout}")
    assert sessions.count("user-1") == 3
    assert len(status.splitlines()) == 2


def test_make_up_ends_with_three_commands_that_work_when_they_are_pasted(stack: Stack) -> None:
    provider = Provider(stack)
    printed = subprocess.run([sys.executable, "-m", "local.pasted"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = Comparison({"acme": provider.name, "https://idp.example": provider.issuer})

    created, client, status = [ran(page.here(command)) for command in pasteable(printed)]

    assert provider.issuer in created
    assert "https://wiki.example/backchannel-logout" in client
    assert re.match(rf"{provider.name} +1 ", status.splitlines()[1])


def test_the_first_call_of_the_readme_is_complete_as_a_command_and_as_a_request(demo: str) -> None:
    command, request = [ran(block) for _, block in blocks(README, "sh")]

    names = [each["provider"] for each in json.loads(request)["providers"]]
    assert demo
    assert names
    assert set(names) <= set(re.findall(r"^(\S+)", command, re.MULTILINE))
