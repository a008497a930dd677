"""The command line: start-up, options, usage errors, completion."""

import pytest

from backchannel_cli.__main__ import first
from backchannel_cli.app import app
from tests.support.command import Command
from tests.unit.cli.conftest import Api, program, ran

ONE = {"providers": [{"provider": "acme", "issuer": "https://idp.example", "recipients": "sessions"}], "next": None}


def test_start_up_imports_no_library_of_aws_or_of_tables() -> None:
    lines = (
        "import sys",
        "from backchannel_cli.__main__ import run",
        "assert run(['--help']) == 0",
        "late = {'botocore', 'urllib3', 'rich', 'jwcrypto', 'cryptography', 'pydantic'}",
        "assert not late & sys.modules.keys(), late & sys.modules.keys()",
    )

    ended = ran([program()[0], "-c", "\n".join(lines)])

    assert (ended.code, ended.stderr) == (0, "")


def test_options_of_every_command_may_stand_behind_it() -> None:
    assert first(["client", "list", "acme", "--json", "--url", "u"]) == ["--json", "--url", "u", "client", "list", "acme"]
    assert first(["provider", "show", "--stack=s", "--", "--json"]) == ["--stack=s", "provider", "show", "--", "--json"]
    assert first(["client", "set", "acme/wiki", "note=--json"]) == ["client", "set", "acme/wiki", "note=--json"]


@pytest.mark.parametrize(
    "words",
    [
        "bogus",
        "client",
        "client list",
        "client list acme extra",
        "client list acme --bogus",
        "client show acme",
        "client show /wiki",
        "client set acme/wiki exp",
        "client failing --since yesterday --url http://127.0.0.1:9",
        "client list acme --url ftp://127.0.0.1",
        "client list acme --url http://api.example",
        "client list acme --url http://127.0.0.1:9 --local",
        "client list acme --url",
        "trigger bogus --source acme/app --url http://127.0.0.1:9",
        "trigger session.ended --source acme/app --url http://127.0.0.1:9",
        "keys rotate acme --alg ES256 --withdraw k1 --url http://127.0.0.1:9",
    ],
)
def test_a_usage_error_is_2_and_says_what_to_write(words: str, command: Command) -> None:
    ended = command(*words.split())

    assert (ended.code, ended.stdout) == (2, "")
    assert len(ended.stderr.strip().splitlines()) >= 2


def test_help_of_every_command_has_an_example() -> None:
    groups = [(app, "backchannel")] + [(group.typer_instance, f"backchannel {group.name}") for group in app.registered_groups]
    for group, name in groups:
        assert group is not None
        for each in group.registered_commands:
            assert each.callback is not None
            example = f"{name} {each.name or each.callback.__name__}"
            assert example in (each.callback.__doc__ or ""), example


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_completion(shell: str) -> None:
    ended = ran(program(), _BACKCHANNEL_COMPLETE=f"source_{shell}", SHELL=f"/bin/{shell}")

    assert "_BACKCHANNEL_COMPLETE" in ended.stdout


def test_completion_knows_the_commands() -> None:
    ended = ran(program(), _BACKCHANNEL_COMPLETE="complete_bash", COMP_WORDS="backchannel client pa", COMP_CWORD="2")

    assert ended.stdout.split() == ["pause"]


def test_a_list_is_a_table_on_stdout(api: Api, command: Command) -> None:
    api.answer("GET /providers", (200, ONE))

    ended = command("--url", api.url, "provider", "list")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == "provider  issuer               recipients\nacme      https://idp.example  sessions\n"


def test_a_list_is_one_json_document_of_items(api: Api, command: Command) -> None:
    api.answer("GET /providers", (200, ONE))

    assert command("provider", "list", "--url", api.url, "--json").json == {"items": ONE["providers"]}


def test_an_empty_list_is_a_message_or_an_empty_document(api: Api, command: Command) -> None:
    api.answer("GET /providers", (200, {"providers": [], "next": None}))

    assert command("provider", "list", "--url", api.url).stdout == ""
    assert command("provider", "list", "--url", api.url, "--json").json == {"items": []}
