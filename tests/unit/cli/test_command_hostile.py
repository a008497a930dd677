"""What a shell, a script or somebody hostile does to the command: no traceback, and nothing done to what was not named."""

import subprocess
import time
from pathlib import Path

import pytest

from backchannel_cli.errors import UsageError
from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.good_cases import AGAIN
from backchannel_cli.receiver_check.report import Outcome, Report, Result
from backchannel_cli.receiver_check.sending import Answer
from backchannel_cli.receiver_check.verdicts import Verdict, says
from backchannel_cli.times import moment
from tests.support.command import Command
from tests.unit.cli.conftest import Api, environment, program

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "words", ["client rm acme/.. --yes", "client set acme/. exp=60", "provider rm .. --yes", "logout show acme/..", "tail .."]
)
def test_a_step_in_a_path_is_no_name(words: str, api: Api, command: Command) -> None:
    ended = command(*words.split(), "--url", api.url)

    assert (ended.code, api.requests) == (2, [])


@pytest.mark.parametrize("name", ["a%2fb", "a b", "a#b", "a?b", "日本", "e\u0301", "\u202eacme"])
def test_a_name_is_one_segment_of_a_path(name: str, api: Api, command: Command) -> None:
    command("client", "show", f"acme/{name}", "--url", api.url)

    path = api.requests[0][1]
    assert path.startswith("/providers/acme/clients/")
    assert (path.count("/"), "?" in path) == (4, False)


@pytest.mark.parametrize("option", ["--url", "--stack", "--region", "--profile"])
def test_an_empty_option_is_not_taken_for_one_left_out(option: str, command: Command) -> None:
    ended = command("provider", "list", option, "")

    assert ended.code == 2
    assert f"{option} is empty" in ended.stderr


@pytest.mark.parametrize("url", ["http://[::1", "https://api.example:99999", "https://user-1:hunter2@api.example", "https://a b"])
def test_an_address_that_is_none_is_a_usage_error(url: str, command: Command) -> None:
    ended = command("provider", "list", "--url", url)

    assert ended.code == 2
    assert "Traceback" not in ended.stderr


def test_a_password_in_an_address_is_not_shown(command: Command) -> None:
    assert "hunter2" not in command("provider", "list", "--url", "https://user-1:hunter2@api.example").stderr


def test_a_broken_record_of_the_local_stack_says_what_to_do(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "stack.json").write_text("{")

    ended = command("provider", "list", "--local")

    assert (ended.code, "make up" in ended.stderr) == (1, True)


def test_an_argument_that_is_no_text_is_a_usage_error(command: Command) -> None:
    assert command("provider", "show", "\udcff", "--url", URL).code == 2


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_the_calendar_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        moment(text)


def test_a_missing_file_of_certificates_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nothing.pem")

    ended = command("provider", "list", "--url", "https://127.0.0.1:9")

    assert (ended.code, "/nothing.pem" in ended.stderr) == (2, True)
    assert "AWS_CA_BUNDLE" in ended.stderr.splitlines()[-1]


def test_an_answer_without_what_it_should_have_is_no_traceback(api: Api, command: Command) -> None:
    api.answer("POST /providers/acme/clients/wiki/pause", (200, {"secret": "hunter2"}))

    ended = command("client", "pause", "acme/wiki", "--url", api.url)

    assert ended.code == 1
    assert "KeyError at client.py" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_a_redirect_is_not_followed_with_a_signature(api: Api, command: Command) -> None:
    api.answer("GET /providers/acme", (307, b""))
    api.locations["/providers/acme"] = f"{api.url}/elsewhere"

    ended = command("provider", "show", "acme", "--url", api.url)

    assert ended.code == 1
    assert [request[1] for request in api.requests] == ["/providers/acme"]


def test_a_resend_that_fails_half_way_says_what_was_queued(api: Api, command: Command) -> None:
    page = {"queued": 500, "skipped": {}, "next": "x"}
    api.answer("POST /providers/acme/clients/wiki/redeliveries", (202, page), (400, {"code": "malformed_request", "detail": "x"}))

    ended = command("resend", "--client", "acme/wiki", "--since", "2h", "--url", api.url)

    assert ended.code == 2
    assert "500 were queued before" in ended.stderr


def test_mass_logouts_of_all_pages_are_in_the_status(api: Api, command: Command) -> None:
    mass = {"mass_logout_id": "m1", "state": "running", "provider": "acme"}
    api.answer("GET /providers", (200, {"providers": [{"provider": "acme"}], "next": None}))
    api.answer("GET /providers/acme/counts", (200, {"clients": [], "next": None}))
    api.answer("GET /providers/acme/sources", (200, {"sources": [], "next": None}))
    api.answer(
        "GET /mass-logouts",
        (200, {"mass_logouts": [{**mass, "state": "finished"}], "next": "x"}),
        (200, {"mass_logouts": [mass], "next": None}),
    )

    ended = command("status", "--url", api.url, "--json")

    assert ended.json["items"][0]["mass_logouts"] == ["m1 (running)"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_traceback(closed: str) -> None:
    script = f'"$@" {closed}'
    words = program("client", "rm", "acme/wiki", "--url", URL)

    ended = subprocess.run(  # noqa: S603 - words of these tests
        ["/bin/sh", "-c", script, "sh", *words], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)


@pytest.mark.parametrize("words", ["--version", "provider list --json"])
def test_output_that_cannot_be_written_is_a_failure(words: str, api: Api) -> None:
    api.answer("GET /providers", (200, {"providers": [], "next": None}))
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(  # noqa: S603 - words of these tests
            program(*words.split(), "--url", api.url),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)


def test_an_error_after_a_broken_pipe_is_no_traceback() -> None:
    script = '"$@" | true'
    words = program("doctor", "--local", "--json")

    ended = subprocess.run(  # noqa: S603 - words of these tests
        ["/bin/sh", "-c", script, "sh", *words], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert "Traceback" not in ended.stderr


def test_a_secret_that_is_no_text_is_a_usage_error(api: Api) -> None:
    ended = subprocess.run(  # noqa: S603 - words of these tests
        program("source", "set", "acme/app", "--secret-stdin", "--url", api.url),
        env=environment(PYTHONUTF8="1"),
        input=b"\xff\xfe\n",
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, api.requests) == (2, [])


@pytest.mark.parametrize("page", [b"<" * 16_384, b"<style" * 2_700, b"<a" * 8_000, b"<style>" + b"</style" * 2_000])
def test_a_hostile_page_takes_no_time_to_read(page: bytes) -> None:
    began = time.process_time()

    says(Answer(400, {"content-type": "text/html"}, page))

    assert time.process_time() - began < 0.2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_before_the_token_was_looked_at_proves_nothing(status: int) -> None:
    number = CASES.index(AGAIN) + 1
    results = [Result(case, Answer(200)) for case in CASES[:number]] + [Result(case, Answer(status)) for case in CASES[number:]]
    report = Report("https://rp.example", "http://127.0.0.1:9400", "c", "RS256", {}, tuple(results), {})

    verdicts = {report.verdict(result) for result in results[number:]}

    assert (verdicts, report.outcome) == ({Verdict.UNPROVEN}, Outcome.UNPROVEN)
    assert any("prove nothing" in sentence for sentence in report.general())
