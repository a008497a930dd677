"""The commands that are printed as the next step: each works when it is pasted, for the same service."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import SOURCES, Api

PRINTED = re.compile(r"backchannel (?:--url \S+ )?[a-z][^\n`]*")
WRITTEN_OUT = re.compile(r"\bbackchannel (?:--?[a-z]|[a-z]+ [a-z])")
CLIENT = "/providers/acme/clients/chat"
NOT_FOUND = (404, {"code": "not_found", "detail": "no provider 'acme'"})
INTERNAL = (500, {"message": "Internal server error"})


@pytest.mark.parametrize("file", sorted((SOURCES / "backchannel_cli").rglob("*.py")), ids=lambda file: file.stem)
def test_no_next_step_is_written_without_the_service_that_it_is_for(file: Path) -> None:
    tree = ast.parse(file.read_text())
    documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_docstring(node)}  # type: ignore[attr-defined]
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]

    assert [text.value for text in texts if id(text) not in docs and WRITTEN_OUT.search(str(text.value))] == []


def _has_docstring(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> bool:
    return ast.get_docstring(node) is not None


@pytest.mark.parametrize(
    ("words", "answered", "next_step"),
    [
        ("client pause acme/chat", (f"POST {CLIENT}/pause", (200, {"paused_at": "now"})), "client resume acme/chat"),
        ("client show acme/chat", (f"GET {CLIENT}", NOT_FOUND), "client list acme"),
        ("client set acme/chat exp=60", ("PATCH *", NOT_FOUND), "provider list"),
        ("client show acme/chat", (f"GET {CLIENT}", INTERNAL), "doctor"),
        ("client show acme/chat", (f"GET {CLIENT}", (403, {"message": "Forbidden"})), "context"),
        ("client show acme/chat", (f"GET {CLIENT}", (200, b"<html>")), "context"),
        ("status", ("GET /providers", (200, {"providers": [], "next": None})), "provider set acme issuer=https://idp.example"),
        ("logout new acme", ("", INTERNAL), "logout new acme --sub user-1"),
        ("logout new acme --sub user-1", ("POST /providers/acme/logouts", INTERNAL), "logout list acme --since 5m"),
        ("session list acme", ("", INTERNAL), "session list acme --sub user-1"),
        ("resend", ("", INTERNAL), "resend --client acme/wiki --since 2h"),
    ],
)
def test_a_next_step_names_the_same_service(
    words: str, answered: tuple[str, tuple[int, object]], next_step: str, api: Api, command: Command
) -> None:
    api.answer("GET /mass-logouts", (200, {"mass_logouts": [], "next": None}))
    api.answer(*answered)

    ended = command(*words.split(), "--url", api.url)

    assert shlex.split(PRINTED.findall(ended.stdout + ended.stderr)[0]) == ["backchannel", "--url", api.url, *next_step.split()]


def test_a_client_of_a_provider_that_is_missing_is_not_looked_for_among_clients(api: Api, command: Command) -> None:
    ended = command("client", "set", "acme/chat", "exp=60", "--url", api.url)

    assert (ended.code, [request[0] for request in api.requests]) == (3, ["PATCH", "PUT"])
    assert f"backchannel --url {api.url} provider list" in ended.stderr


def test_a_logout_that_may_have_begun_says_how_to_see_whether_it_has(
    api: Api, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backchannel_cli.sending.READ_WITHIN", 0.1)
    api.answer("POST /providers/acme/logouts", (0, {}))

    ended = command("logout", "new", "acme", "--sub", "user-1", "--url", api.url)

    assert (ended.code, len(api.requests)) == (1, 1)
    assert f"before you repeat it: backchannel --url {api.url} logout list acme --since 5m" in ended.stderr
