import subprocess
import sys

import pytest

from backchannel_cli.__main__ import first
from backchannel_cli.output import clean, json_text
from tests.unit.cli.conftest import SOURCES, Api, Command

LISTED = {"providers": [{"provider": "acme", "issuer": "https://idp.example", "recipients": "sessions"}], "next": None}


def test_start_up_imports_no_library_of_aws_or_of_tables() -> None:
    program = """
import sys
from backchannel_cli.__main__ import run
assert run(["--help"]) == 0
late = {"botocore", "urllib3", "rich", "jwcrypto", "cryptography", "pydantic"}
assert not late & sys.modules.keys(), late & sys.modules.keys()
"""

    ended = subprocess.run(  # noqa: S603 - words of this test
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


def test_options_of_every_command_may_stand_behind_it() -> None:
    assert first(["client", "list", "acme", "--json", "--url", "u"]) == ["--json", "--url", "u", "client", "list", "acme"]
    assert first(["provider", "show", "--stack=s", "--", "--json"]) == ["--stack=s", "provider", "show", "--", "--json"]


def test_a_list_is_a_table_on_stdout(api: Api, command: Command) -> None:
    api.answer("GET /providers", (200, LISTED))

    ended = command("--url", api.url, "provider", "list")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == "provider  issuer               recipients\nacme      https://idp.example  sessions\n"


def test_a_list_is_one_json_document_of_items(api: Api, command: Command) -> None:
    api.answer("GET /providers", (200, LISTED))

    ended = command("provider", "list", "--url", api.url, "--json")

    assert ended.json == {"items": LISTED["providers"]}


def test_all_pages_of_a_list_are_read(api: Api, command: Command) -> None:
    api.answer("GET /providers", (200, LISTED | {"next": "x y"}), (200, LISTED))

    ended = command("provider", "list", "--url", api.url, "--json")

    assert len(ended.json["items"]) == 2
    assert api.requests[1][1] == "/providers?after=x%20y"


def test_requests_are_signed(api: Api, command: Command) -> None:
    api.answer("GET /providers", (200, LISTED))

    command("provider", "list", "--url", api.url)

    assert "/eu-central-1/execute-api/aws4_request" in api.headers[0]["authorization"]


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b31m", "\u202e", "a\rb", "\x07", "\u2028", "\ud800", "\x7f"])
def test_nothing_that_a_terminal_obeys_is_printed(hostile: str) -> None:
    for text in (clean(hostile), json_text({"a": hostile})):
        assert text.isprintable()
        assert hostile not in text


def test_words_of_all_languages_are_printed_as_they_are() -> None:
    assert clean("Łukasz 山田 ñ") == "Łukasz 山田 ñ"
    assert json_text("Łukasz 山田 ñ") == '"Łukasz 山田 ñ"'
