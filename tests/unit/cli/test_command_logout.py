from typing import Any

import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import Api

LOGOUTS = "/providers/acme/logouts"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e"


def delivery(client_id: str, status: str, **members: Any) -> dict[str, Any]:
    return {
        "logout_id": "abc",
        "client_id": client_id,
        "sid": "s-1",
        "status": status,
        "attempts": 1,
        "created_at": "2026-11-02T08:00:00.000000Z",
        "updated_at": "2026-11-02T08:00:01.000000Z",
        "next_attempt_at": None,
        "last_code": "http_200",
        "last_status_code": 200,
        "error": None,
        "error_description": None,
        "requested_at": None,
        "requested_by": None,
        "history": [],
        **members,
    }


def refused(client_id: str, **members: Any) -> dict[str, Any]:
    attempt = {"at": "2026-11-02T08:00:01.000000Z", "code": "http_403", "status_code": 403, "post_ms": 12, "address": "127.0.0.1"}
    return delivery(client_id, "rejected", last_code="http_403", error="who are you?", history=[attempt], **members)


def logout(*deliveries: dict[str, Any], settled: bool | None = True, **members: Any) -> tuple[int, Any]:
    statuses = [each["status"] for each in deliveries]
    return 200, {
        "logout_id": "abc",
        "sub": "user-1",
        "sid": None,
        "client_id": None,
        "reason": "admin_logout",
        "note": "she has left",
        "ended_at": "2026-11-02T08:00:00.000000Z",
        "requested_by": "arn:aws:iam::123456789012:user/operator",
        "source": None,
        "fanned_out": True,
        "matched": len(deliveries),
        "counts": {status: statuses.count(status) for status in statuses},
        "settled": settled,
        "deliveries": list(deliveries),
        "next": None,
        **members,
    }


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel_cli.commands.logout_watch.FIRST", 0.01)
    monkeypatch.setattr("backchannel_cli.commands.logout_watch.SLOWEST", 0.01)


def test_a_new_logout_says_how_to_watch_it(api: Api, command: Command) -> None:
    api.answer(f"POST {LOGOUTS}", (202, {"logout_id": "abc"}))

    ended = command("logout", "new", "acme", "--sub", "user-1", "--reason", "she has left", "--json", "--url", api.url)

    assert (ended.code, ended.json) == (0, {"logout_id": "abc"})
    assert api.requests == [("POST", LOGOUTS, {"sub": "user-1", "reason": "she has left"})]
    assert f"backchannel --url {api.url} logout watch acme/abc" in ended.stderr


def test_a_logout_of_nobody_is_a_usage_error(api: Api, command: Command) -> None:
    ended = command("logout", "new", "acme", "--url", api.url)

    assert (ended.code, api.requests) == (2, [])
    assert "--sub or --sid is needed" in ended.stderr


def test_a_logout_is_watched_until_it_is_settled(api: Api, command: Command) -> None:
    waiting = delivery("wiki", "queued", attempts=0, last_code=None)
    api.answer(
        f"GET {LOGOUTS}/abc",
        (404, {"code": "not_found"}),
        logout(waiting, settled=False),
        logout(delivery("wiki", "retrying", last_code="http_503", next_attempt_at="2026-11-02T08:01:00Z"), settled=False),
        logout(delivery("wiki", "accepted", attempts=2)),
    )

    ended = command("logout", "watch", "acme/abc", "--url", api.url)

    assert (ended.code, ended.stderr) == (0, "Settled: 1 accepted.\n")
    assert ended.stdout.splitlines() == [
        "2026-11-02 08:00:01Z  wiki  retrying  http_503  next at 2026-11-02 08:01:00Z",
        "2026-11-02 08:00:01Z  wiki  accepted  http_200  attempt 2",
    ]


def test_a_logout_that_not_everybody_accepted_ends_with_5(api: Api, command: Command) -> None:
    api.answer(f"GET {LOGOUTS}/abc", logout(delivery("wiki", "accepted"), refused("mail")))

    ended = command("logout", "watch", "acme/abc", "--json", "--url", api.url)

    assert (ended.code, len(ended.stdout.splitlines())) == (5, 2)
    assert "Not everything was accepted: 1 rejected." in ended.stderr
    assert f"backchannel --url {api.url} resend --logout acme/abc" in ended.stderr


def test_a_new_logout_can_be_watched_at_once(api: Api, command: Command) -> None:
    api.answer(f"POST {LOGOUTS}", (202, {"logout_id": "abc"}))
    api.answer(f"GET {LOGOUTS}/abc", (404, {"code": "not_found"}), logout(delivery("wiki", "accepted")))

    ended = command("logout", "new", "acme", "--sid", "s-1", "--watch", "--url", api.url)

    assert (ended.code, "wiki  accepted" in ended.stdout) == (0, True)


def test_a_logout_that_nobody_knows_is_not_found(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel_cli.commands.logout.SHOWN_WITHIN", 0.05)

    ended = command("logout", "watch", "acme/abc", "--url", api.url)

    assert ended.code == 3
    assert "logout list acme`" in ended.stderr


def test_a_logout_that_met_nobody_says_so(api: Api, command: Command) -> None:
    api.answer(f"GET {LOGOUTS}/abc", logout())

    for verb in ("watch", "show"):
        ended = command("logout", verb, "acme/abc", "--url", api.url)
        assert (ended.code, "Nobody was told" in ended.stderr) == (0, True)


def test_a_logout_shows_who_refused_when_and_with_which_words(api: Api, command: Command) -> None:
    api.answer(f"GET {LOGOUTS}/abc", logout(delivery("wiki", "accepted"), refused("mail")))

    ended = command("logout", "show", "acme/abc", "--url", api.url)

    assert ended.code == 0
    assert [line.split("  ")[0] for line in ended.stdout.splitlines() if line.startswith(("wiki", "mail"))] == [
        "wiki",
        "mail",
        "mail",
    ]
    for words in ("who are you?", "12 ms", "arn:aws:iam::123456789012:user/operator", "she has left", "1 accepted, 1 rejected"):
        assert words in ended.stdout
    assert "resend --logout acme/abc" in ended.stderr


def test_all_pages_of_a_logout_are_one_document(api: Api, command: Command) -> None:
    following = logout(refused("mail"), counts=None, settled=None)
    api.answer(f"GET {LOGOUTS}/abc", logout(delivery("wiki", "accepted"), next="x", settled=False), following)

    ended = command("logout", "show", "acme/abc", "--json", "--url", api.url)

    assert [each["client_id"] for each in ended.json["deliveries"]] == ["wiki", "mail"]
    assert (ended.json["next"], ended.json["settled"]) == (None, False)


@pytest.mark.parametrize("verb", ["show", "watch"])
def test_hostile_words_of_a_relying_party_are_shown_harmless(verb: str, api: Api, command: Command) -> None:
    api.answer(f"GET {LOGOUTS}/abc", logout(refused("mail") | {"error": HOSTILE, "error_description": HOSTILE}))

    for words in ((), ("--json",)):
        ended = command("logout", verb, "acme/abc", *words, "--url", api.url)
        for text in (ended.stdout, ended.stderr):
            assert all(line.isprintable() for line in text.splitlines())
        assert "[2J" in ended.stdout


def test_logouts_are_listed_with_who_ordered_them(api: Api, command: Command) -> None:
    _, one = logout(delivery("wiki", "accepted"))
    other = one | {"logout_id": "def", "requested_by": None, "source": "app", "sid": "s-1", "client_id": "wiki"}
    api.answer(f"GET {LOGOUTS}", (200, {"logouts": [one, other], "next": None}))

    ended = command("logout", "list", "acme", "--since", "2026-11-01T00:00:00+01:00", "--reason", "logout", "--url", api.url)

    assert "user/operator" in ended.stdout
    assert "source app" in ended.stdout
    assert "sid s-1 at wiki" in ended.stdout
    assert api.requests[0][1] == f"{LOGOUTS}?since=2026-10-31T23%3A00%3A00.000Z&reason=logout"


def test_a_logout_is_named_with_its_provider(api: Api, command: Command) -> None:
    ended = command("logout", "show", "abc", "--url", api.url)

    assert (ended.code, "Write PROVIDER/LOGOUT" in ended.stderr) == (2, True)
