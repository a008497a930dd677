"""The command as a process at a real terminal: its width, its bars, and ^C."""

import json
from pathlib import Path

import pytest

from tests.support.terminal import BAR, INTERRUPT, Terminal, Typed
from tests.unit.cli.conftest import SHELL, Api
from tests.unit.cli.test_command_logout import LOGOUTS, delivery, logout
from tests.unit.cli.test_command_mass_logout import ID, PATH, mass, plan
from tests.unit.cli.test_command_session import ADA, SESSIONS, lines, taken


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(directory=tmp_path, environment=SHELL)


def test_interrupting_ends_the_watching_of_a_logout_alone(api: Api, terminal: Terminal) -> None:
    going = delivery("wiki", "retrying", last_code="http_503", next_attempt_at="2026-11-02T09:00:00Z")
    api.answer(f"GET {LOGOUTS}/abc", logout(going, settled=False))

    shown = terminal.run(f"backchannel --url {api.url} logout watch acme/abc", Typed("retrying", INTERRUPT))

    assert shown.code == 130
    assert "The work goes on." in shown.text
    assert f"Watch it again: backchannel --url {api.url} logout watch acme/abc" in shown.text
    assert "Traceback" not in shown.text
    assert api.changes() == []


def test_interrupting_ends_the_watching_of_a_mass_logout_alone(api: Api, terminal: Terminal) -> None:
    api.answer(f"GET {PATH}/{ID}", mass("running", None, deliveries={"accepted": 1, "queued": 3}))

    shown = terminal.run(f"backchannel --url {api.url} mass-logout watch {ID}", Typed("settled tokens", INTERRUPT))

    assert shown.code == 130
    assert f"mass-logout pause {ID}" in shown.text
    assert api.changes() == []


def test_interrupting_a_question_starts_nothing(api: Api, terminal: Terminal) -> None:
    api.answer(f"POST {PATH}", plan())

    shown = terminal.run(
        f"backchannel --url {api.url} mass-logout start acme --reason logout", Typed("Type the provider's name", INTERRUPT)
    )

    assert shown.code == 130
    assert [body["dry_run"] for _, _, body in api.changes()] == [True]


def test_interrupting_an_import_says_that_it_can_be_repeated(api: Api, terminal: Terminal) -> None:
    (terminal.directory / "some").write_text(lines(150))
    api.answer(f"POST {SESSIONS}", taken(100), (503, {}))

    shown = terminal.run(f"backchannel --url {api.url} session import acme some", Typed("trying again", INTERRUPT))

    assert shown.code == 130
    assert "Run the same command again" in shown.text
    assert "100 stored." in shown.text


def test_a_mass_logout_is_started_by_typing_the_name(api: Api, terminal: Terminal) -> None:
    api.answer(f"POST {PATH}", plan(), mass("running", None))

    shown = terminal.run(
        f"backchannel --url {api.url} mass-logout start acme --reason logout", Typed("Type the provider's name", "acme\n")
    )

    assert (shown.code, len(api.changes())) == (0, 2)
    assert shown.text.index("everybody of acme") < shown.text.index("Type the provider's name")


def test_a_bar_is_full_when_a_mass_logout_is_finished(api: Api, terminal: Terminal) -> None:
    going = mass("running", None, deliveries={"accepted": 1, "queued": 3})
    api.answer(f"GET {PATH}/{ID}", going, going, going, going, mass())

    shown = terminal.run(f"backchannel --url {api.url} mass-logout watch {ID}")

    (bar,) = [line for line in shown.text.splitlines() if line.startswith("settled tokens")]
    assert (BAR in bar, "4/4" in bar) == (True, True)


@pytest.mark.parametrize("width", [24, 40])
def test_a_narrow_terminal_shows_every_letter(width: int, api: Api, terminal: Terminal) -> None:
    api.answer(f"GET {SESSIONS}", (200, {"sessions": [ADA | {"sub": "somebody-with-a-long-name"}], "next": None}))
    terminal.width = width

    shown = terminal.run(f"backchannel --url {api.url} session list acme --sub x")

    assert shown.code == 0
    assert all(len(line) <= width for line in shown.text.splitlines())


def test_what_is_watched_without_a_terminal_has_no_bar(api: Api, terminal: Terminal) -> None:
    api.answer(f"GET {PATH}/{ID}", mass())

    shown = terminal.run(f"backchannel --url {api.url} --json mass-logout watch {ID}")

    assert json.loads(shown.text.replace("\n", "").partition("Finished:")[0])["mass_logout_id"] == ID
