"""What is printed: for a terminal of any width, for a pipe, and never what a terminal obeys."""

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backchannel_cli.output import Output, clean, json_text, shown
from tests.support.command import Command
from tests.unit.cli.conftest import Api, environment, program

SUB = "Łukasz-山田-ñ-😀"
HOSTILE = ["\x1b[2J", "\x9b31m", "\u202e", "a\rb", "\x07", "\u2028", "\ud800", "\x7f", "\x08", "\U000e0001"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_a_terminal_obeys_is_printed(hostile: str) -> None:
    for text in (clean(hostile), json_text({"a": hostile}), shown([hostile]), shown({"a": hostile})):
        assert text.isprintable()
        assert hostile not in text


def test_words_of_all_languages_are_printed_as_they_are() -> None:
    assert clean(SUB) == SUB
    assert json_text(SUB) == f'"{SUB}"'


def test_hostile_words_of_a_relying_party_reach_no_terminal(api: Api, command: Command) -> None:
    words = "".join(HOSTILE[:-4])
    api.answer("GET /providers/acme/clients/wiki", (200, {"client_id": "wiki", "error_description": words}))
    api.answer("GET /providers/acme/clients/other", (400, {"code": "c", "detail": words}))

    for client in ("wiki", "other"):
        for options in ([], ["--json"]):
            ended = command("client", "show", f"acme/{client}", "--url", api.url, *options)
            assert all(line.isprintable() for line in (ended.stdout + ended.stderr).split("\n"))


@contextmanager
def terminal(columns: int, *arguments: str, **more: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Run the command at a terminal of so many columns; yield the terminal and the process."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shell = environment(TERM="xterm-256color", **more)
    process = subprocess.Popen(  # noqa: S603 - words of these tests
        program(*arguments), env=shell, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def seen(ours: int, until: str | None = None) -> str:
    """Return what the terminal shows, up to a text or the end."""
    text, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline and (until is None or until not in text.decode(errors="replace")):
        if select.select([ours], [], [], 0.1)[0]:
            try:
                text += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
    return text.decode().replace("\r\n", "\n")


CLIENTS = {
    "clients": [
        {
            "client_id": f"client-{SUB}",
            "backchannel_logout_uri": f"https://wiki.example/{'path/' * 12}",
            "id_token_signed_response_alg": "RS256",
            "subject": "both",
            "paused": True,
        }
    ],
    "next": None,
}


@pytest.mark.parametrize("columns", [30, 60, 80])
def test_a_table_fits_a_narrow_terminal_and_leaves_nothing_out(columns: int, api: Api) -> None:
    api.answer("GET /providers/acme/clients", (200, CLIENTS))

    with terminal(columns, "client", "list", "acme", "--url", api.url, NO_COLOR="1") as (ours, _):
        text = re.sub(r"\x1b\[[0-9;]*m", "", seen(ours))

    assert max(len(line.rstrip()) for line in text.split("\n")) <= columns
    assert text.count("山") == 1
    assert text.count("p") >= 12  # twelve times path/, wherever it was folded


def test_colours_are_left_out_under_no_color(api: Api) -> None:
    api.answer("GET /providers/acme/clients", (200, CLIENTS))

    with terminal(80, "client", "list", "acme", "--url", api.url, NO_COLOR="1") as (ours, _):
        text = seen(ours)

    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", text)


def test_markup_in_a_name_is_no_markup(api: Api) -> None:
    client = {**CLIENTS["clients"][0], "client_id": "[red]x[/red] :smile:"}  # type: ignore[index]
    api.answer("GET /providers/acme/clients", (200, {"clients": [client], "next": None}))

    with terminal(200, "client", "list", "acme", "--url", api.url) as (ours, _):
        assert "[red]x[/red] :smile:" in seen(ours)


def test_a_terminal_is_asked_before_something_is_removed(api: Api) -> None:
    api.answer("DELETE /providers/acme/clients/wiki", (204, b""))

    with terminal(80, "client", "rm", "acme/wiki", "--url", api.url) as (ours, process):
        seen(ours, until="[y/N]")
        os.write(ours, b"n\n")
        seen(ours)
        refused = process.wait(30)
    with terminal(80, "client", "rm", "acme/wiki", "--url", api.url) as (ours, process):
        seen(ours, until="[y/N]")
        os.write(ours, b"y\n")
        seen(ours)
        agreed = process.wait(30)

    assert (refused, agreed) == (2, 0)
    assert [request[0] for request in api.requests] == ["DELETE"]


def test_a_secret_is_asked_for_without_an_echo(api: Api) -> None:
    api.answer("PATCH /providers/acme/sources/app", (200, {"source": "app"}))

    with terminal(80, "source", "set", "acme/app", "--secret-stdin", "--url", api.url) as (ours, process):
        before = seen(ours, until="secret: ")
        time.sleep(0.3)  # the prompt comes before the echo is off
        os.write(ours, b"hunter2\n")
        text = before + seen(ours)
        code = process.wait(30)

    assert code == 0
    assert "hunter2" not in text
    assert api.requests[-1][2] == {"secret": "hunter2"}


def test_no_input_asks_nothing_even_at_a_terminal(api: Api) -> None:
    with terminal(80, "client", "rm", "acme/wiki", "--no-input", "--url", api.url) as (ours, process):
        text = seen(ours)
        code = process.wait(30)

    assert code == 2
    assert "--yes" in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("patience", "shown_by_then"), [(0, True), (2, False)])
def test_a_progress_bar_waits_until_it_is_worth_it(
    patience: float, shown_by_then: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backchannel_cli.progress.PATIENCE", patience)
    stderr = Terminal()

    assert list(Output(stderr=stderr).each(["a", "b"], "things")) == ["a", "b"]

    assert ("things" in stderr.getvalue()) is shown_by_then


def test_there_is_no_progress_bar_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel_cli.progress.PATIENCE", 0)
    stderr = io.StringIO()

    assert list(Output(stderr=stderr).each(["a"], "things")) == ["a"]
    assert stderr.getvalue() == ""


def test_an_interrupt_is_130(api: Api) -> None:
    api.answer("GET /providers", (0, {}))  # stalls

    with terminal(80, "provider", "list", "--url", api.url) as (ours, process):
        while not api.requests:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        text = seen(ours)
        code = process.wait(30)

    assert code == 130
    assert "Interrupted. What the service has taken on goes on there." in text
    assert "Traceback" not in text


def test_a_reader_that_has_had_enough_ends_the_command_quietly(api: Api) -> None:
    many = [{"provider": f"p-{number}", "issuer": "https://idp.example/" + "x" * 100} for number in range(5000)]
    api.answer("GET /providers", (200, {"providers": many, "next": None}))

    with subprocess.Popen(  # noqa: S603 - words of this test
        program("provider", "list", "--url", api.url), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"provider")
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 1)


def test_a_stdout_that_is_not_utf_8_shows_what_it_can(api: Api) -> None:
    api.answer("GET /providers", (200, {"providers": [{"provider": "a", "issuer": SUB}], "next": None}))

    ended = subprocess.run(  # noqa: S603 - words of this test
        program("provider", "list", "--url", api.url),
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0
    assert b"\\u5c71" in ended.stdout
