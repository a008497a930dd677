"""What changes something: set, rm, pause, rotate, trigger; with secrets from stdin alone."""

import base64
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from backchannel_cli.errors import UsageError
from backchannel_cli.times import day, moment
from tests.support.command import Command
from tests.unit.cli.conftest import Api

CLIENT = "/providers/acme/clients/wiki"
SOURCE = "/providers/acme/sources/app"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
MISSING = (404, {"code": "not_found", "detail": "no client 'wiki'"})


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_set_changes_what_is_named_and_leaves_the_rest(api: Api, command: Command) -> None:
    api.answer(f"PATCH {CLIENT}", (200, {"client_id": "wiki", "exp": 60}))

    ended = command(
        "client",
        "set",
        "acme/wiki",
        "exp=60",
        "paused=false",
        'allowed_networks=["10.0.0.0/8"]',
        "jwks_uri=https://x/?a=b",
        "--url",
        api.url,
    )

    assert ended.code == 0
    given = {"exp": 60, "paused": False, "allowed_networks": ["10.0.0.0/8"], "jwks_uri": "https://x/?a=b"}
    assert api.requests == [("PATCH", CLIENT, given)]
    assert ended.stdout == "client_id  wiki\nexp        60\n"


def test_set_creates_what_is_not_there(api: Api, command: Command) -> None:
    api.answer(f"PATCH {CLIENT}", MISSING)
    api.answer(f"PUT {CLIENT}", (201, {"client_id": "wiki"}))

    ended = command("client", "set", "acme/wiki", "backchannel_logout_uri=https://wiki.example/bcl", "--url", api.url, "--json")

    assert ended.json == {"client_id": "wiki"}
    assert "Created client acme/wiki." in ended.stderr
    assert [request[0] for request in api.requests] == ["PATCH", "PUT"]


def test_set_reads_a_value_from_a_file(api: Api, command: Command, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN\nx\n")
    api.answer(f"PATCH {CLIENT}", (200, {}))

    command("client", "set", "acme/wiki", "ca_bundle=@ca.pem", "--url", api.url)
    missing = command("client", "set", "acme/wiki", "ca_bundle=@nothing.pem", "--url", api.url)

    assert api.requests == [("PATCH", CLIENT, {"ca_bundle": "-----BEGIN\nx\n"})]
    assert missing.code == 2


def test_a_typ_of_null_is_no_typ_and_not_the_default(api: Api, command: Command) -> None:
    api.answer(f"GET {CLIENT}", (200, {"client_id": "wiki", "exp": 60, "typ": "JWT"}))
    api.answer(f"PUT {CLIENT}", (200, {"client_id": "wiki", "typ": None}))

    command("client", "set", "acme/wiki", "typ=null", "--url", api.url)

    assert api.changes() == [("PUT", CLIENT, {"client_id": "wiki", "exp": 60, "typ": None})]


@pytest.mark.parametrize("member", ["secret", "previous_secret"])
def test_a_secret_is_no_argument(member: str, api: Api, command: Command) -> None:
    ended = command("source", "set", "acme/app", f"{member}=hunter2", "--url", api.url)

    assert (ended.code, api.requests) == (2, [])
    assert "--secret-stdin" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_secrets_are_read_from_stdin_a_line_each(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "new one\nold one\n")
    api.answer(f"PATCH {SOURCE}", (200, {"source": "app"}))

    ended = command("source", "set", "acme/app", "--secret-stdin", "--previous-secret-stdin", "--url", api.url)

    assert api.requests[0][2] == {"secret": "new one", "previous_secret": "old one"}
    assert "one" not in ended.stdout + ended.stderr


def test_an_empty_secret_is_refused(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "\n")

    ended = command("source", "set", "acme/app", "--secret-stdin", "--url", api.url)

    assert (ended.code, api.requests) == (2, [])


def test_nothing_is_removed_unless_somebody_agrees(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "y\n")  # a pipe is nobody

    ended = command("client", "rm", "acme/wiki", "--url", api.url)

    assert (ended.code, api.changes()) == (2, [])
    assert "--yes" in ended.stderr


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("provider rm acme", "/providers/acme"),
        ("source rm acme/app", SOURCE),
        ("client rm acme/wiki", CLIENT),
    ],
)
def test_yes_removes(words: str, path: str, api: Api, command: Command) -> None:
    api.answer(f"DELETE {path}", (204, b""))

    ended = command(*words.split(), "--yes", "--url", api.url, "--json")

    assert ended.json == {"removed": words.replace(" rm", "")}
    assert api.requests == [("DELETE", path, None)]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume_say_what_follows(verb: str, api: Api, command: Command) -> None:
    api.answer(f"POST {CLIENT}/{verb}", (200, {"client_id": "wiki", "paused_at": "2026-11-27T00:00:00Z"}))

    ended = command("client", verb, "acme/wiki", "--url", api.url)

    assert ended.code == 0
    assert "acme/wiki" in ended.stdout


def test_a_key_is_withdrawn_only_if_somebody_agrees(api: Api, command: Command) -> None:
    path = "POST /providers/acme/keys/rotation"
    api.answer(path, (202, {"keys": []}))

    refused = command("keys", "rotate", "acme", "--withdraw", "k1", "--url", api.url)
    agreed = command("keys", "rotate", "acme", "--withdraw", "k1", "--yes", "--url", api.url)
    rotated = command("keys", "rotate", "acme", "--alg", "ES256", "--url", api.url, "--json")

    assert (refused.code, agreed.code, rotated.json) == (2, 0, {"items": []})
    assert [request[2] for request in api.requests] == [{"kid": "k1", "emergency": True}, {"alg": "ES256"}]


def test_trigger_signs_as_standard_webhooks_says(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, SECRET + "\n")
    api.answer(f"GET {SOURCE}", (200, {"format": "standard-webhooks"}))
    api.answer("POST /webhooks/acme/app", (202, {"started": 0, "ended": 1, "ignored": 0}))

    ended = command("trigger", "session.ended", "sid=1", "--source", "acme/app", "--secret-stdin", "--url", api.url, "--json")

    assert ended.json == {"started": 0, "ended": 1, "ignored": 0}
    assert "authorization" not in api.headers[-1]
    event = Webhook(SECRET).verify(api.bodies[-1], api.headers[-1])
    assert (event["type"], event["data"]) == ("session.ended", {"sid": "1"})


def test_trigger_signs_for_no_other_format(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, SECRET)
    api.answer(f"GET {SOURCE}", (200, {"format": "keycloak"}))

    ended = command("trigger", "session.ended", "sid=s1", "--source", "acme/app", "--secret-stdin", "--url", api.url)

    assert (ended.code, api.changes()) == (2, [])
    assert "keycloak" in ended.stderr


def test_a_webhook_that_is_refused_says_to_compare_secrets(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, SECRET)
    api.answer(f"GET {SOURCE}", (200, {"format": "standard-webhooks"}))
    api.answer("POST /webhooks/acme/app", (401, {"code": "signature_invalid", "detail": "no"}))

    ended = command("trigger", "session.ended", "sid=s1", "--source", "acme/app", "--secret-stdin", "--url", api.url)

    assert ended.code == 4
    assert "Compare the secret" in ended.stderr.splitlines()[-1]


def test_times_are_ago_or_a_date_or_a_time() -> None:
    now = datetime(2026, 11, 27, 1, tzinfo=UTC)

    assert moment("90m", now) == now - timedelta(minutes=90)
    assert moment("24h", now) == now - timedelta(days=1)
    assert moment("2026-11-27T06:00:00+01:00") == datetime(2026, 11, 27, 5, tzinfo=UTC)
    assert moment("2026-11-27") == datetime(2026, 11, 27, tzinfo=UTC)
    assert day("7d", now) == date(2026, 11, 21)
    assert day("2h", now) == date(2026, 11, 26)
    for text in ("", "7", "-1d", "7w", "tomorrow"):
        with pytest.raises(UsageError):
            moment(text)
