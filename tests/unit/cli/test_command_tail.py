import json
from datetime import UTC, datetime

import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import Api
from tests.unit.cli.test_command_logout import HOSTILE, delivery, refused

DELIVERIES = "/providers/acme/deliveries"


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel_cli.commands.tail.EVERY", 0.02)


def test_each_step_of_each_delivery_is_shown_once(api: Api, command: Command) -> None:
    now = datetime.now(UTC).isoformat()
    first = refused("wiki") | {"status": "retrying", "updated_at": now}
    second = delivery("wiki", "accepted", attempts=2) | {"updated_at": now}
    api.answer("GET /providers/acme/clients/wiki", (200, {"client_id": "wiki"}))
    api.answer(
        f"GET {DELIVERIES}",
        (200, {"deliveries": [first], "next": None}),
        (200, {"deliveries": [second, first], "next": None}),
    )

    ended = command("tail", "acme/wiki", "--for", "0.3", "--json", "--url", api.url)

    assert ended.code == 0
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [first, second]


def test_the_deliveries_of_all_clients_of_a_provider_come_by_their_time(api: Api, command: Command) -> None:
    later = delivery("wiki", "accepted", updated_at="2026-11-02T08:00:09.000000Z")
    api.answer("GET /providers/acme/clients", (200, {"clients": [{"client_id": "wiki"}, {"client_id": "mail"}], "next": None}))
    api.answer(
        f"GET {DELIVERIES}",
        (200, {"deliveries": [later], "next": None}),
        (200, {"deliveries": [refused("mail")], "next": None}),
    )

    ended = command("tail", "acme", "--for", "0", "--url", api.url)

    assert ended.stdout.splitlines() == [
        "2026-11-02 08:00:01Z  mail  rejected  http_403  who are you?",
        "2026-11-02 08:00:09Z  wiki  accepted  http_200",
    ]
    assert {path.partition("&")[0] for _, path, _ in api.requests[1:]} == {
        f"{DELIVERIES}?client_id={each}" for each in ("wiki", "mail")
    }


def test_a_client_that_is_not_there_is_not_followed_for_ever(api: Api, command: Command) -> None:
    ended = command("tail", "acme/wkii", "--url", api.url)

    assert (ended.code, "client list acme`" in ended.stderr) == (3, True)


def test_hostile_words_stay_in_their_line(api: Api, command: Command) -> None:
    api.answer("GET /providers/acme/clients/wiki", (200, {"client_id": "wiki"}))
    api.answer(
        f"GET {DELIVERIES}", (200, {"deliveries": [refused("wiki") | {"error": f"{HOSTILE}\r\nwiki accepted"}], "next": None})
    )

    ended = command("tail", "acme/wiki", "--for", "0", "--url", api.url)

    (line,) = ended.stdout.splitlines()
    assert line.isprintable()
