"""`backchannel check` of a real relying party, express-openid-connect, with a real login there: what it checks, and what not."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import free_port
from tests.support.recordings import compare
from tests.support.snippets import blocks, sections
from tests.support.terminal import Terminal, Typed

from .browser import Browser
from .processes import running

HERE = Path(__file__).resolve().parents[2]
PAGE = HERE / "docs" / "receiver-check.md"
WITHIN_S = 60

ACCEPTED_ALL_THE_SAME = {
    "careless": {"no-exp", "no-iat"},
    "lenient": {"replayed", "other-typ", "more-aud", "iat-in-the-future", "iat-a-day-ago", "event-no-object", "no-jti"},
}
"""express-openid-connect 3.4.0."""


def checked(*arguments: str, response_type: str = "id_token") -> subprocess.CompletedProcess[str]:
    """Check a new relying party; somebody logs in there once the check asks for the cookie."""
    port = free_port()
    config = {"issuer": f"http://127.0.0.1:{port}", "client_id": "receiver-check", "response_type": response_type}
    with running("rp.mjs", config) as rp:
        command = [sys.executable, "-m", "backchannel_cli", "check", f"{rp['url']}/backchannel-logout"]
        options = ["--listen", f"127.0.0.1:{port}", "--probe", f"{rp['url']}/profile", "--cookie-stdin"]
        with subprocess.Popen(  # noqa: S603 - our own command
            [*command, *options, *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE / "cli" / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stderr
                assert next((line for line in process.stderr if "Waiting for the cookie" in line), None)
                browser = Browser()
                browser.log_in(rp["url"], "whoever the issuer says")
                stdout, stderr = process.communicate(browser.cookie_header + "\n", timeout=WITHIN_S)
            finally:
                process.kill()
        text = stdout.replace(rp["url"], "http://127.0.0.1:3000").replace(f"127.0.0.1:{port}", "127.0.0.1:9400")
        return subprocess.CompletedProcess(command, process.returncode, text, stderr)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    ended = checked("--json", response_type="code")
    assert ended.returncode == 5, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_the_good_token_is_accepted_and_ends_the_login(report: dict[str, Any]) -> None:
    assert report["cases"][0]["status"] == 204
    assert report["login"] == {"anonymous": 401, "before": 200, "after": 401, "end": "ended by the good token"}


@pytest.mark.parametrize("verdict", ACCEPTED_ALL_THE_SAME)
def test_what_it_accepts_although_it_is_bad_is_named(report: dict[str, Any], verdict: str) -> None:
    assert {case["case"] for case in report["cases"] if case["verdict"] == verdict} == ACCEPTED_ALL_THE_SAME[verdict]


def test_every_other_bad_token_is_refused_with_400_and_a_reason(report: dict[str, Any]) -> None:
    refused = [case for case in report["cases"] if case["token"] == "bad" and case["verdict"] == "ok"]

    assert {case["status"] for case in refused} == {400}
    assert all(case["says"].startswith("invalid_request: ") for case in refused)


def test_every_good_token_is_accepted(report: dict[str, Any]) -> None:
    assert {case["status"] for case in report["cases"] if case["token"] == "good"} == {204}


def test_the_page_shows_this_report() -> None:
    shown = blocks(sections(PAGE.read_text())["A report of a real relying party"], "console")[0][1]

    ended = checked()

    assert shown.partition("\n")[2] == re.sub(r"fetched \d+ x, keys \d+ x", "fetched 1 x, keys 1 x", ended.stdout)


def test_a_check_at_a_terminal_with_the_cookie_of_a_login(tmp_path: Path) -> None:
    port, terminal = free_port(), Terminal(directory=tmp_path)
    config = {"issuer": f"http://127.0.0.1:{port}", "client_id": "receiver-check", "response_type": "id_token"}
    with running("rp.mjs", config) as rp:

        def cookie_of_a_login() -> str:
            browser = Browser()
            browser.log_in(rp["url"], "whoever the issuer says")
            return browser.cookie_header + "\n"

        terminal.note("express-openid-connect, in a test configuration with the issuer of the check.")
        ended = terminal.run(
            f"backchannel check {rp['url']}/backchannel-logout --listen 127.0.0.1:{port}"
            f" --probe {rp['url']}/profile --cookie-stdin",
            Typed("paste the cookie", cookie_of_a_login),
        )

    assert (ended.code, "ended by the good token" in ended.text) == (5, True)
    shown = [line.replace(rp["url"], "http://127.0.0.1:3000").replace(f":{port}", ":9400") for line in terminal.transcript]
    compare("check-express-openid-connect.txt", shown)
