import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import Api

SESSIONS = "/providers/acme/sessions"
ADA = {
    "client_id": "wiki",
    "sub": "user-1",
    "client_sub": None,
    "sid": "s-1",
    "started_at": "2026-11-01T08:00:00.000000Z",
    "expires_at": None,
    "ended_at": None,
    "logout_id": None,
}
ENDED = ADA | {"client_id": "mail", "ended_at": "2026-11-02T08:00:00.500000Z", "logout_id": "abc"}


def taken(started: int, *refused: tuple[int, str]) -> tuple[int, Any]:
    lines = [{"line": line, "code": code, "errors": [{"at": "sub", "what": "Field required"}]} for line, code in refused]
    return 202, {"started": started, "ended": 0, "refused": lines}


def lines(count: int) -> str:
    return "".join(json.dumps({"sub": f"user-{n}"}) + "\n" for n in range(count))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.ndjson"


def test_sessions_are_listed_with_the_logout_that_ended_them(api: Api, command: Command) -> None:
    api.answer(f"GET {SESSIONS}", (200, {"sessions": [ADA, ENDED], "next": None}))

    ended = command("session", "list", "acme", "--sub", "user-1", "--url", api.url)

    assert ended.code == 0
    assert ended.stdout.splitlines()[1].split() == ["wiki", "user-1", "s-1", "2026-11-01", "08:00:00Z", "-", "-"]
    assert f"backchannel --url {api.url} logout show acme/abc" in ended.stderr


def test_active_sessions_are_those_without_an_end(api: Api, command: Command) -> None:
    api.answer(f"GET {SESSIONS}", (200, {"sessions": [ENDED, ADA], "next": None}))

    ended = command("session", "list", "acme", "--client", "wiki", "--active", "--json", "--url", api.url)

    assert ended.json == {"items": [ADA]}
    assert api.requests[0][1] == f"{SESSIONS}?client_id=wiki"


def test_a_subject_of_any_language_is_asked_for_and_shown_as_it_is(api: Api, command: Command) -> None:
    api.answer(f"GET {SESSIONS}", (200, {"sessions": [ADA | {"sub": "山田 ñ"}], "next": None}))

    ended = command("session", "list", "acme", "--sub", "山田 ñ", "--url", api.url)

    assert api.requests[0][1] == f"{SESSIONS}?sub=%E5%B1%B1%E7%94%B0%20%C3%B1"
    assert "山田 ñ" in ended.stdout


def test_a_list_that_is_cut_says_so(api: Api, command: Command) -> None:
    api.answer(f"GET {SESSIONS}", (200, {"sessions": [ADA, ENDED], "next": None}))

    ended = command("session", "list", "acme", "--sub", "user-1", "--limit", "1", "--json", "--url", api.url)

    assert (len(ended.json["items"]), "give a larger --limit" in ended.stderr) == (1, True)


@pytest.mark.parametrize("words", [(), ("--sub", "user-1", "--sid", "s-1")])
def test_sessions_are_listed_by_one_thing(words: tuple[str, ...], api: Api, command: Command) -> None:
    ended = command("session", "list", "acme", *words, "--url", api.url)

    assert (ended.code, api.requests) == (2, [])
    assert "One of --sub, --sid and --client is needed." in ended.stderr


def test_lines_are_sent_a_hundred_at_a_time(file: Path, api: Api, command: Command) -> None:
    file.write_text(lines(250))
    api.answer(f"POST {SESSIONS}", taken(100), taken(100), taken(50))

    ended = command("session", "import", "acme", str(file), "--json", "--url", api.url)

    assert ended.code == 0
    assert ended.json == {"started": 250, "ended": 0, "refused": [], "failed": []}
    assert [len(body.splitlines()) for _, _, body in api.requests] == [100, 100, 50]
    assert {headers["content-type"] for headers in api.headers} == {"application/x-ndjson"}


def test_a_part_is_never_larger_than_the_service_takes(file: Path, api: Api, command: Command) -> None:
    file.write_text("".join(json.dumps({"sub": "x" * 300_000}) + "\n" for _ in range(4)) + json.dumps({"sub": "x" * 2_000_000}))
    api.answer(f"POST {SESSIONS}", taken(3), taken(1))

    ended = command("session", "import", "acme", str(file), "--json", "--url", api.url)

    assert (ended.code, len(api.requests)) == (5, 2)
    assert [(each["line"], each["code"]) for each in ended.json["refused"]] == [(5, "payload_too_large")]


def test_refused_lines_are_named_by_their_number_in_the_file(file: Path, api: Api, command: Command) -> None:
    file.write_text("\ufeff\n\n" + lines(150))
    api.answer(f"POST {SESSIONS}", taken(99, (1, "malformed_request")), taken(49, (50, "started_at_missing")))

    ended = command("session", "import", "acme", str(file), "--url", api.url)

    assert ended.code == 5
    assert [line.split()[:2] for line in ended.stdout.splitlines()[2:]] == [
        ["3", "malformed_request"],
        ["152", "started_at_missing"],
    ]
    assert "2 lines were refused; all others are stored." in ended.stderr


def test_an_import_goes_on_behind_a_batch_that_failed(file: Path, api: Api, command: Command) -> None:
    file.write_text(lines(250))
    api.answer(f"POST {SESSIONS}", taken(100), *[(503, {"code": "storage_unavailable"})] * 4, taken(50))

    ended = command("session", "import", "acme", str(file), "--json", "--url", api.url)

    assert (ended.code, ended.json["started"]) == (5, 150)
    assert [(each["first"], each["last"]) for each in ended.json["failed"]] == [(101, 200)]
    assert "Run the same command again" in ended.stderr


def test_an_import_ends_if_the_service_is_down(file: Path, api: Api, command: Command) -> None:
    file.write_text(lines(1000))
    api.answer(f"POST {SESSIONS}", (503, {"code": "storage_unavailable"}))

    ended = command("session", "import", "acme", str(file), "--url", api.url)

    assert (ended.code, len(api.requests)) == (1, 3 * 4)
    assert "3 batches in a row failed; lines 201 to 300 were the last." in ended.stderr


def test_an_import_that_is_not_allowed_ends_at_once(file: Path, api: Api, command: Command) -> None:
    file.write_text(lines(250))
    api.answer(f"POST {SESSIONS}", (403, {"message": "User is not authorized"}))

    ended = command("session", "import", "acme", str(file), "--url", api.url)

    assert (ended.code, len(api.requests)) == (4, 1)


def test_lines_come_from_stdin_too(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines(2).encode())))
    api.answer(f"POST {SESSIONS}", taken(2))

    ended = command("session", "import", "acme", "-", "--url", api.url)

    assert (ended.code, ended.stdout == "2 stored.\n") == (0, True)


def test_a_file_that_is_not_there_is_a_usage_error(file: Path, api: Api, command: Command) -> None:
    ended = command("session", "import", "acme", str(file), "--url", api.url)

    assert (ended.code, api.requests) == (2, [])
    assert "cannot be read" in ended.stderr
