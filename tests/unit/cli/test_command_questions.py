"""What answers an operator's questions: status, failing, doctor, test, keys check; and the shapes of their JSON."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import Api

CALLER = b"""<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn>
<Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""
STACK = b"""<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>backchannel-local</StackName>
<StackStatus>UPDATE_COMPLETE</StackStatus></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""
TESTED: dict[str, Any] = {
    "code": "accepted",
    "meaning": "The RP took the token.",
    "failed_at": None,
    "milliseconds": {"sign": 3.2, "answer": 10},
    "outcome": {"status": "accepted", "code": "http_200", "retry_in": None, "in_the_end": "accepted"},
    "held_up": [],
    "addresses": [{"address": "203.0.113.7", "forbidden": None, "dialled": True}],
    "address": "203.0.113.7",
    "tls_version": "TLSv1.3",
    "certificate": None,
    "status_code": 200,
    "error": None,
    "error_description": None,
    "detail": None,
    "token": {"header": {"alg": "RS256"}, "claims": {"iss": "https://idp.example"}, "encryption": None},
}


def counted(client: str, failed: int) -> dict[str, Any]:
    return {
        "client_id": client,
        "accepted": 5,
        "failed": failed,
        "failed_by_code": {"http_400": failed} if failed else {},
        "failed_attempts": 2 * failed,
        "failed_attempts_by_code": {},
        "p50_ms": 100,
        "p95_ms": 200,
    }


@pytest.fixture
def service(api: Api) -> Api:
    """A service with one provider, two clients and two sources."""
    api.answer("GET /providers", (200, {"providers": [{"provider": "acme", "issuer": "https://idp.example"}], "next": None}))
    counts = {"clients": [counted("mail", 1), counted("wiki", 3), counted("chat", 0)], "next": None}
    api.answer("GET /providers/acme/counts", (200, counts))
    sources = [{"source": "app", "expected_interval": 300}, {"source": "old", "expected_interval": None}]
    api.answer("GET /providers/acme/sources", (200, {"sources": sources, "next": None}))
    api.answer("GET /providers/acme/sources/app", (200, {"activity": {"is_silent": True}}))
    mass = {"mass_logout_id": "m1", "state": "paused", "provider": "acme"}
    api.answer("GET /mass-logouts", (200, {"mass_logouts": [mass, {**mass, "state": "finished"}], "next": None}))
    checked = {"client_id": "wiki", "alg": "RS256", "kid": "k", "is_found": True, "advice": "accepts"}
    api.answer(
        "GET /providers/acme/keys/check",
        (200, {"discovery": "https://idp.example/d", "jwks_uri": None, "failure": None, "keys": [], "clients": [checked]}),
    )
    return api


def test_status_shows_what_fails_and_what_is_silent(service: Api, command: Command) -> None:
    ended = command("status", "--url", service.url, "--json")

    assert ended.code == 0
    assert ended.json == {
        "items": [
            {
                "provider": "acme",
                "clients": 3,
                "accepted": 15,
                "failed": 4,
                "failing": ["mail", "wiki"],
                "sources": 2,
                "silent": ["app"],
                "mass_logouts": ["m1 (paused)"],
            }
        ]
    }
    assert "client failing" in ended.stderr
    assert "source show" in ended.stderr


def test_status_does_without_mass_logouts_that_may_not_be_seen(service: Api, command: Command) -> None:
    service.answer("GET /mass-logouts", (403, {"Message": "not authorized"}))

    ended = command("status", "--url", service.url, "--json")

    assert (ended.code, ended.json["items"][0]["mass_logouts"]) == (0, None)


def test_failing_lists_the_worst_first(service: Api, command: Command) -> None:
    ended = command("client", "failing", "--since", "2026-11-20", "--url", service.url)
    as_json = command("client", "failing", "acme", "--url", service.url, "--json")

    assert [line.split()[1] for line in ended.stdout.splitlines()[1:]] == ["wiki", "mail"]
    assert "http_400 (3)" in ended.stdout
    assert "since=2026-11-20" in service.requests[1][1]
    assert as_json.json["items"] == [{"provider": "acme", **counted("wiki", 3)}, {"provider": "acme", **counted("mail", 1)}]


@pytest.mark.parametrize(("code", "exit_code"), [("accepted", 0), ("refused_as_it_must", 0), ("accepted_with_page", 5)])
def test_a_test_that_is_not_accepted_is_5(code: str, exit_code: int, api: Api, command: Command) -> None:
    result = {**copy.deepcopy(TESTED), "code": code}
    api.answer("POST /providers/acme/clients/wiki/test", (200, result))

    ended = command("test", "acme/wiki", "--url", api.url)
    as_json = command("test", "acme/wiki", "--url", api.url, "--json")

    assert (ended.code, as_json.code) == (exit_code, exit_code)
    assert "The RP took the token." in ended.stdout
    assert as_json.json == result


def test_keys_that_are_not_found_are_a_failure_with_advice(service: Api, command: Command) -> None:
    good = command("keys", "check", "acme", "--url", service.url)
    found = service.answers["GET /providers/acme/keys/check"][0][1]
    found["clients"][0]["is_found"] = False
    missing = command("keys", "check", "acme", "--url", service.url, "--json")
    found["failure"] = "connect_failed"
    unread = command("keys", "check", "acme", "--url", service.url)

    assert (good.code, missing.code, unread.code) == (0, 1, 1)
    assert missing.json == found | {"failure": None}
    assert "wiki" in missing.stderr
    assert "connect_failed" in unread.stderr


def local(service: Api, tmp_path: Path) -> None:
    (tmp_path / ".local").mkdir()
    record = {"api_url": service.url, "endpoint_url": service.url, "region": "eu-central-1", "stack_name": "backchannel-local"}
    (tmp_path / ".local" / "stack.json").write_text(json.dumps(record))
    service.answer("GetCallerIdentity", (200, CALLER))
    service.answer("DescribeStacks", (200, STACK))


def results(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["question"]: item["result"] for item in items}


def test_the_doctor_goes_on_after_what_is_wrong(service: Api, command: Command, tmp_path: Path) -> None:
    local(service, tmp_path)
    service.answer("GetCallerIdentity", (403, b"<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>"))
    service.answer("GET /providers/acme/keys/check", (503, {"code": "storage_unavailable"}))

    ended = command("--local", "doctor", "--json")

    found = results(ended.json["items"])
    assert ended.code == 1
    assert found["credentials"] == "wrong"
    assert (found["service"], found["stack"], found["API"]) == ("ok", "ok", "ok")
    assert (found["keys of acme"], found["sources of acme"]) == ("wrong", "wrong")
    assert all(item["do"] for item in ended.json["items"] if item["result"] == "wrong")


def test_the_doctor_says_what_it_cannot_know_of_a_url(service: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
    service.answer("GetCallerIdentity", (200, CALLER))

    ended = command("doctor", "--url", service.url, "--json")

    found = results(ended.json["items"])
    assert (found["stack"], found["alarms"], found["keys of acme"]) == ("unknown", "unknown", "ok")


def test_the_doctor_ends_early_if_there_is_no_service(command: Command) -> None:
    ended = command("doctor", "--local", "--json")

    assert ended.code == 1
    assert results(ended.json["items"]) == {"service": "wrong"}
