"""Sessions at a terminal, as docs/recordings shows them: real commands, a real terminal, the local stack."""

import json
import re
from pathlib import Path

import pytest

from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.acme import Acme
from tests.support.mass_recording import record_mass_logout
from tests.support.polling import until
from tests.support.recordings import compare
from tests.support.relying_party import Answer
from tests.support.terminal import Terminal, Typed

pytestmark = pytest.mark.waits

STARTED = "2026-11-01T08:00:00Z"
SIGNED_IN = ((1, "wiki"), (1, "mail"), (2, "wiki"), (2, "chat"), (3, "wiki"))
"""The numbers of users, and where they are signed in."""


@pytest.fixture
def acme(stack: Stack) -> Acme:
    return Acme(stack)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """Return a terminal in a directory of a clone in which the stack is up."""
    (tmp_path / ".local").symlink_to(Path(".local").resolve())
    return Terminal(directory=tmp_path)


def test_first_logout_on_the_local_stack(acme: Acme, terminal: Terminal, relying_party: MakeRelyingParty) -> None:
    sessions = [{"sub": "user-1", "client_id": each, "sid": "s-1", "started_at": STARTED} for each in ("wiki", "mail")]
    (terminal.directory / "sessions.ndjson").write_text("".join(json.dumps(each) + "\n" for each in sessions))
    networks = """allowed_networks='["127.0.0.0/8"]'"""

    terminal.note("A provider, and two relying parties of it.")
    terminal.run(f"backchannel --local provider set {acme.name} issuer={acme.issuer}")
    for client_id, rp in {"wiki": relying_party(), "mail": relying_party()}.items():
        terminal.run(f"backchannel --local client set {acme.name}/{client_id} backchannel_logout_uri={rp.uri()} {networks}")
    terminal.note("Who is logged in: each login, as the provider would report it.")
    terminal.run(f"backchannel --local session import {acme.name} sessions.ndjson")
    terminal.run(f"backchannel --local session list {acme.name} --sub user-1")
    terminal.note("Log the user out everywhere.")
    ended = terminal.run(f"backchannel --local logout new {acme.name} --sub user-1 --watch")
    terminal.run(f"backchannel --local session list {acme.name} --sub user-1")

    assert (ended.code, "Settled: 2 accepted." in ended.text) == (0, True)
    compare("first-logout.txt", terminal.transcript)


def test_six_questions_of_an_operator_at_night(acme: Acme, terminal: Terminal, relying_party: MakeRelyingParty) -> None:
    mail = relying_party(Answer(403, b"who are you?", {"Content-Type": "text/plain"}))
    acme.create()
    for client_id, rp in {"wiki": relying_party(), "mail": mail, "chat": relying_party()}.items():
        acme.register_client(rp, client_id)
    for number, client_id in SIGNED_IN:
        acme.start(client_id, sub=f"user-{number}", sid=f"s-{number}")
    logout = acme.end_session("s-1")
    acme.wait_until(logout, "accepted", "rejected", seconds=120)
    until(lambda: acme.get("/counts")["clients"], holds=lambda found: sum(each["failed"] for each in found) == 1)
    until(
        lambda: acme.get("/sources/app")["activity"]["counts"], holds=lambda found: (found["started"], found["ended"]) == (5, 1)
    )
    until(lambda: acme.get("/sessions?client_id=wiki")["sessions"], holds=lambda found: len(found) == 3)

    terminal.note("Which relying parties have been failing this week?")
    failing = terminal.run(f"backchannel --local client failing {acme.name} --since 7d")
    terminal.note("Is user-1 logged out everywhere? And if not, why?")
    terminal.run(f"backchannel --local session list {acme.name} --sub user-1")
    why = terminal.run(f"backchannel --local logout show {acme.name}/{logout}")
    terminal.note("Does mail take our tokens?")
    tested = terminal.run(f"backchannel --local test {acme.name}/mail")
    mail.answers = [Answer()]
    terminal.note("Their administrator has mended it. Send it again, now.")
    again = terminal.run(f"backchannel --local resend --logout {acme.name}/{logout} --now")
    acme.wait_until(logout, "accepted", "accepted", seconds=120)  # else one more line may show that it is queued
    terminal.run(f"backchannel --local logout watch {acme.name}/{logout}")
    terminal.note("Who ordered this?")
    ordered = terminal.run(f"backchannel --local logout list {acme.name}")
    terminal.note("Does the identity provider tell us anything?")
    source = terminal.run(f"backchannel --local source show {acme.name}/app")
    terminal.note("Does mail find our keys?")
    keys = terminal.run(f"backchannel --local keys check {acme.name}")
    terminal.note("Who is signed in at wiki? Log everybody of wiki out.")
    terminal.run(f"backchannel --local session list {acme.name} --client wiki --active")
    everybody = terminal.run(
        f"backchannel --local mass-logout start {acme.name} --client wiki --reason compromised --watch",
        Typed("Type the provider's name", f"{acme.name}\n"),
    )
    terminal.note("Stop chat, and lose nothing of it.")
    terminal.run(f"backchannel --local client pause {acme.name}/chat")
    stopped = terminal.run(f"backchannel --local logout new {acme.name} --sub user-2 --client chat")
    name = re.search(rf"{acme.name}/[0-9a-f]{{40}}", stopped.text)
    assert name
    waits = name[0].removeprefix(f"{acme.name}/")
    acme.wait_for(waits, lambda found: found and found[0]["last_code"] == "client_paused", seconds=120)
    waiting = terminal.run(f"backchannel --local logout show {name[0]}")
    terminal.run(f"backchannel --local client resume {acme.name}/chat")
    acme.wait_until(waits, "accepted", seconds=120)
    lost = terminal.run(f"backchannel --local logout watch {name[0]}")

    expected = {
        "http_403 (1)": failing,
        "who are you?": why,
        "filtered": tested,
        "1 queued again": again,
        "source app": ordered,
        "standard-webhooks": source,
        "Finished: 2 accepted": everybody,
        "client_paused": waiting,
        "Settled: 1 accepted.": lost,
    }
    assert [words for words, shown in expected.items() if words not in shown.text] == []
    assert (tested.code, keys.code, lost.code) == (5, 1, 0)  # nobody listens at the issuer, so no key is found
    compare("six-questions.txt", terminal.transcript, also=without_plan)


def test_mass_logout_with_its_bar(acme: Acme, terminal: Terminal) -> None:
    shown = record_mass_logout(acme, terminal, users=20, rate=100)

    assert re.search(r"released users ━+ 20/20", shown.text)
    assert re.search(r"settled tokens ━+ 40/40", shown.text)
    compare("mass-logout.txt", terminal.transcript, also=lambda text: without_numbers(without_plan(text)))


def without_plan(text: str) -> str:
    """Return it without what a dry run counted: where many sessions of other tests are stored, it reads samples alone."""
    return re.sub(r"^(A mass logout of everybody[^\n]*\n).*?(?=^This ends|^\$ |^# )", r"\1", text, flags=re.MULTILINE | re.DOTALL)


def without_numbers(text: str) -> str:
    """Return what a mass logout of any size shows."""
    return re.sub(r"#+", "#", re.sub(r"\d[\d.]*( min| s)?", "0", text))
