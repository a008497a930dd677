"""docs/receiver-check.md shows what the check prints, and lists all of its cases."""

import re
from pathlib import Path

import pytest

from backchannel_cli.receiver_check.case import Expectation
from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.verdicts import WAYS, Verdict
from tests.support.command import Command
from tests.support.receiver import Receiver, free_port
from tests.support.recordings import compare
from tests.support.snippets import blocks, sections
from tests.support.terminal import Terminal
from tests.unit.cli.receivers import keys

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "receiver-check.md").read_text()
EVERYTHING = frozenset(["signature", *[case.name for case in CASES if case.expects is Expectation.REFUSE]])


def test_the_report_of_a_careless_relying_party_is_this_one(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = blocks(sections(PAGE)["A report of a careless one"], "console")[0][1]
    monkeypatch.setattr("backchannel_cli.receiver_check.start.ThrowAwayKeys.make", keys)
    port = free_port()
    with Receiver(f"http://127.0.0.1:{port}") as rp:
        rp.careless = frozenset({"alg-none", "expired", "id-token", "replayed"})

        ended = command("check", f"{rp.url}/backchannel-logout", "--listen", f"127.0.0.1:{port}")

    printed = ended.stdout.replace(rp.url, "http://127.0.0.1:3000").replace(f"127.0.0.1:{port}", "127.0.0.1:9400")
    assert shown.partition("\n") == ("$ backchannel check http://127.0.0.1:3000/backchannel-logout", "\n", printed)


def test_a_check_at_a_terminal_names_every_carelessness(tmp_path: Path) -> None:
    port, terminal = free_port(), Terminal(directory=tmp_path)
    terminal.note("A relying party that takes whatever it is sent.")
    with Receiver(f"http://127.0.0.1:{port}") as rp:
        rp.careless = EVERYTHING

        ended = terminal.run(f"backchannel check {rp.url}/backchannel-logout --listen 127.0.0.1:{port}")

    assert ended.code == 5
    assert set(re.findall(r"^(?:careless|lenient): (\S+)$", ended.text, re.MULTILINE)) == EVERYTHING - {"signature"}
    shown = [line.replace(rp.url, "http://127.0.0.1:3000").replace(f":{port}", ":9400") for line in terminal.transcript]
    compare("check-careless.txt", shown)


def test_the_page_lists_every_case() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (good|bad) \| (yes|left to the relying party) \| (.+) \|$", PAGE, re.MULTILINE)

    assert rows == [
        (
            case.name,
            "good" if case.expects is Expectation.ACCEPT else "bad",
            "yes" if case.is_required else "left to the relying party",
            case.words.section,
        )
        for case in CASES
    ]


def test_the_page_explains_every_verdict() -> None:
    explained = re.findall(r"^\| `([a-z ]+)` \|", sections(PAGE)["Read the report"], re.MULTILINE)

    assert set(explained) == set(Verdict)


@pytest.mark.parametrize("status", WAYS.keys() - {411, 413})
def test_the_page_explains_the_usual_statuses(status: int) -> None:
    assert re.search(rf"^\| ([\d, ]*)\b{status}\b", sections(PAGE)["Read the report"], re.MULTILINE)
