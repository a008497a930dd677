"""What the service answers, or does not: exit codes, repetitions, and what to do next."""

import json
import time
from typing import Any

import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import Api

LIST = "GET /providers/acme/clients"
NONE: dict[str, Any] = {"clients": [], "next": None}
DENIED = "User: arn:aws:iam::1:user/x is not authorized to perform: execute-api:Invoke on resource: arn:..."


def problem(code: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": "t", "status": 0, "code": code, "detail": "what is wrong"}


@pytest.mark.parametrize(
    "refusal",
    [
        (400, problem("malformed_request"), 2, "Correct what it names"),
        (403, {"message": "Missing Authentication Token"}, 4, "no such path"),
        (403, {"message": "The security token included in the request is expired"}, 4, "Renew your credentials"),
        (403, {"message": "The security token included in the request is invalid."}, 4, "--profile"),
        (403, {"Message": DENIED}, 4, "execute-api:Invoke"),
        (403, {"message": "Credential should be scoped to a valid region. "}, 4, "--region"),
        (403, {"message": "Forbidden"}, 4, " context`"),
        (404, problem("not_found"), 3, " client list acme`"),
        (409, problem("conflict"), 1, "repeat the change"),
        (429, {"message": "Too Many Requests"}, 1, "ThrottlingRate"),
        (500, {"message": "Internal server error"}, 1, " doctor`"),
        (503, problem("storage_unavailable"), 1, "internal failure"),
        (302, b"", 1, " doctor`"),
        (200, b"<html>", 1, "ApiUrl"),
        (200, b"[]", 1, "ApiUrl"),
    ],
)
def test_each_refusal_has_an_exit_code_and_a_next_step(refusal: tuple[int, Any, int, str], api: Api, command: Command) -> None:
    status, document, code, advice = refusal
    api.answer("GET /providers/acme/clients/wiki", (status, document))

    ended = command("client", "show", "acme/wiki", "--url", api.url)

    assert (ended.code, ended.stdout) == (code, "")
    assert advice in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_question_is_repeated_after_a_failure_that_may_pass(status: int, api: Api, command: Command) -> None:
    api.answer(LIST, (status, {}), (status, {}), (200, NONE))

    ended = command("client", "list", "acme", "--url", api.url)

    assert (ended.code, len(api.requests)) == (0, 3)
    assert ended.stderr.count("trying again") == 2


def test_repetitions_come_to_an_end(api: Api, command: Command) -> None:
    api.answer(LIST, (503, problem("storage_unavailable")))

    ended = command("client", "list", "acme", "--url", api.url)

    assert (ended.code, len(api.requests)) == (1, 4)


def test_what_does_something_each_time_is_repeated_only_if_nothing_was_done(api: Api, command: Command) -> None:
    api.answer("POST /providers/acme/clients/wiki/test", (429, {}), (503, problem("internal_error")))

    ended = command("test", "acme/wiki", "--url", api.url)

    assert (ended.code, len(api.requests)) == (1, 2)


def test_what_can_be_repeated_is(api: Api, command: Command) -> None:
    api.answer("POST /providers/acme/clients/wiki/pause", (503, {}), (200, {"paused_at": "now"}))

    ended = command("client", "pause", "acme/wiki", "--url", api.url, "--json")

    assert ended.json == {"paused_at": "now"}


def test_a_time_out_says_so(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel_cli.sending.READ_WITHIN", 0.1)
    api.answer(LIST, (0, NONE))
    began = time.monotonic()

    ended = command("client", "list", "acme", "--url", api.url)

    assert ended.code == 1
    assert "took longer than" in ended.stderr
    assert time.monotonic() - began < 5


def test_a_request_that_may_have_arrived_is_not_repeated_blindly(
    api: Api, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backchannel_cli.sending.READ_WITHIN", 0.1)
    api.answer("POST /providers/acme/clients/wiki/test", (0, {}))

    ended = command("test", "acme/wiki", "--url", api.url)

    assert len(api.requests) == 1
    assert "may have been sent" in ended.stderr


def test_a_service_that_is_not_there_is_a_failure(command: Command) -> None:
    ended = command("client", "list", "acme", "--url", "http://127.0.0.1:9")

    assert ended.code == 1
    assert "Connection refused" in ended.stderr
    assert "make up" in ended.stderr.splitlines()[-1]


def test_requests_are_signed_and_webhooks_are_not(api: Api, command: Command) -> None:
    api.answer(LIST, (200, NONE))

    command("client", "list", "acme", "--url", api.url)

    assert "/eu-central-1/execute-api/aws4_request" in api.headers[0]["authorization"]


def test_all_pages_of_a_list_are_read(api: Api, command: Command) -> None:
    clients = [{"client_id": "a"}, {"client_id": "b"}]
    api.answer(LIST, (200, {"clients": clients[:1], "next": "x y"}), (200, {"clients": clients[1:], "next": None}))

    ended = command("client", "list", "acme", "--url", api.url, "--json")

    assert ended.json == {"items": clients}
    assert api.requests[1][1] == "/providers/acme/clients?after=x%20y"


def test_a_client_id_may_be_a_url(api: Api, command: Command) -> None:
    command("client", "show", "acme/https://rp.example/a?b", "--url", api.url)

    assert api.requests[0][1] == "/providers/acme/clients/https%3A%2F%2Frp.example%2Fa%3Fb"


def test_utf_8_survives_both_ways(api: Api, command: Command) -> None:
    api.answer("PATCH /providers/acme/clients/wiki", (200, json.dumps({"client_id": "山田"}).encode()))

    ended = command("client", "set", "acme/wiki", "note=山田", "--url", api.url)

    assert api.requests[0][2] == {"note": "山田"}
    assert "山田" in ended.stdout
