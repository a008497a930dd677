import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import Api

PATH = "/mass-logouts"
ID = "0f0e0d0c-0000-4000-8000-000000000000"
AT = "2026-11-02T08:00:00.000000Z"


def mass(state: str = "finished", finished_at: str | None = AT, **members: Any) -> tuple[int, Any]:
    accepted = {"wiki": {"accepted": 2}, "mail": {"accepted": 2}}
    return 200, {
        "mass_logout_id": ID,
        "provider": "acme",
        "client_id": None,
        "listed_subjects": None,
        "reason": "compromised",
        "note": None,
        "rate": 200,
        "client_rate": 50,
        "state": state,
        "requested_by": "arn:aws:iam::123456789012:user/eve",
        "created_at": AT,
        "started_before": None,
        "found": {"subjects": 2, "sessions": 4},
        "is_read": True,
        "released": {"subjects": 2, "sessions": 4},
        "fanned_out": 2,
        "deliveries": {"accepted": 4},
        "clients": accepted,
        "finished_at": finished_at,
        "history": [{"at": AT, "by": "arn:aws:iam::123456789012:user/eve", "what": "started"}],
        **members,
    }


def plan(**members: Any) -> tuple[int, Any]:
    clients = [
        {"client_id": "wiki", "tokens": 1000, "state": "ready"},
        {"client_id": "mail", "tokens": 250, "state": "paused"},
        {"client_id": "old", "tokens": 1, "state": "unregistered"},
    ]
    numbers = {"subjects": 1000, "sessions": 1251, "without_sid": 3, "seconds": 600.0, "share": 1.0}
    return 200, {"dry_run": True, "clients": clients, **numbers, **members}


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel_cli.commands.mass_logout_watch.EVERY", 0.01)


def test_a_plan_is_a_picture_of_whom_it_would_reach(api: Api, command: Command) -> None:
    api.answer(f"POST {PATH}", plan())

    ended = command("mass-logout", "plan", "acme", "--reason", "compromised", "--rate", "2", "--url", api.url)

    assert ended.code == 0
    assert api.requests == [("POST", PATH, {"scope": {"provider": "acme"}, "reason": "compromised", "rate": 2, "dry_run": True})]
    assert "everybody of acme" in ended.stdout
    assert "about 10 min" in ended.stdout
    bars = {words[0]: words[2] for words in map(str.split, ended.stdout.splitlines()) if len(words) > 3 and "#" in words[2]}
    assert bars == {"wiki": "#" * 20, "mail": "#" * 5, "old": "#"}
    assert "waits until somebody resumes the client" in ended.stdout


def test_a_plan_of_a_sample_says_that_it_is_one(api: Api, command: Command) -> None:
    api.answer(f"POST {PATH}", plan(share=0.125))

    ended = command("mass-logout", "plan", "acme", "--reason", "logout", "--url", api.url)

    assert "about 1000" in ended.stdout
    assert "12% of the sessions" in ended.stdout


def test_a_plan_that_reaches_nobody_is_shown_all_the_same(api: Api, command: Command) -> None:
    api.answer(f"POST {PATH}", plan(clients=[], subjects=0, sessions=0, without_sid=0, seconds=0.0))

    ended = command("mass-logout", "plan", "acme", "--client", "wiki", "--reason", "logout", "--url", api.url)

    assert (ended.code, "everybody of acme/wiki" in ended.stdout) == (0, True)


def test_nothing_is_started_without_the_name_of_the_provider(api: Api, command: Command) -> None:
    for words in ((), ("--no-input",), ("--yes", "acne")):
        ended = command("mass-logout", "start", "acme", "--reason", "logout", *words, "--url", api.url)

        assert (ended.code, api.changes()) == (2, [])
        assert "--yes acme" in ended.stderr


def test_a_mass_logout_is_started_with_the_name_given(api: Api, command: Command) -> None:
    api.answer(f"POST {PATH}", (202, mass("running", None)[1]))

    words = ("--client-rate", "9", "--started-before", "2026-11-01T00:00:00Z", "--yes", "acme")
    ended = command("mass-logout", "start", "acme", "--client", "wiki", "--reason", "theft", *words, "--json", "--url", api.url)

    assert (ended.code, ended.json["mass_logout_id"]) == (0, ID)
    asked = {"scope": {"provider": "acme", "client_id": "wiki"}, "reason": "theft", "client_rate": 9}
    assert api.requests == [("POST", PATH, asked | {"started_before": "2026-11-01T00:00:00.000Z"})]
    assert f"backchannel --url {api.url} mass-logout watch {ID}" in ended.stderr


def test_users_are_listed_in_a_file(tmp_path: Path, api: Api, command: Command) -> None:
    (tmp_path / "users").write_text("\ufeffuser-1\r\n\n 山田 \n", encoding="utf-8")
    api.answer(f"POST {PATH}", plan())

    ended = command("mass-logout", "plan", "acme", "--subjects", str(tmp_path / "users"), "--reason", "logout", "--url", api.url)

    assert api.requests[0][2]["scope"] == {"provider": "acme", "subjects": ["user-1", "山田"]}
    assert "2 users of acme" in ended.stdout


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_file_that_names_nobody_is_a_usage_error(content: bytes | None, tmp_path: Path, api: Api, command: Command) -> None:
    if content is not None:
        (tmp_path / "users").write_bytes(content)

    ended = command("mass-logout", "plan", "acme", "--subjects", str(tmp_path / "users"), "--reason", "logout", "--url", api.url)

    assert (ended.code, api.requests) == (2, [])


def test_a_mass_logout_is_watched_until_it_is_finished(api: Api, command: Command) -> None:
    going = mass("running", None, released={"subjects": 1, "sessions": 2}, fanned_out=1, deliveries={"accepted": 1, "queued": 1})
    api.answer(f"GET {PATH}/{ID}", going, mass())

    ended = command("mass-logout", "watch", ID, "--url", api.url)

    assert ended.code == 0
    assert ended.stderr.splitlines() == [
        "running: released 1 of 2 users; settled 1 of about 4 tokens",
        "finished: released 2 of 2 users; settled 4 of about 4 tokens",
        "Finished: 4 accepted; 2 of 2 users were released.",
    ]
    assert [line.split()[:2] for line in ended.stdout.splitlines()] == [["client", "accepted"], ["mail", "2"], ["wiki", "2"]]


def test_what_is_watched_is_a_line_of_json_each_time(api: Api, command: Command) -> None:
    going = mass("running", None)
    api.answer(f"GET {PATH}/{ID}", going, mass())

    ended = command("mass-logout", "watch", ID, "--json", "--url", api.url)

    assert [json.loads(line) for line in ended.stdout.splitlines()] == [going[1], mass()[1]]


def test_a_mass_logout_that_not_everybody_accepted_ends_with_5(api: Api, command: Command) -> None:
    counts = {"wiki": {"accepted": 2}, "my mail": {"rejected": 1, "accepted": 1}}
    api.answer(f"GET {PATH}/{ID}", mass(deliveries={"accepted": 3, "rejected": 1}, clients=counts))

    ended = command("mass-logout", "watch", ID, "--url", api.url)

    assert ended.code == 5
    assert "Not everything was accepted: 1 rejected." in ended.stderr
    assert f"resend --client 'acme/my mail' --since {AT}" in ended.stderr
    assert "acme/wiki" not in ended.stderr


def test_a_mass_logout_that_was_cancelled_says_how_many_were_released(api: Api, command: Command) -> None:
    api.answer(
        f"GET {PATH}/{ID}", mass("cancelled", released={"subjects": 1, "sessions": 2}, fanned_out=1, deliveries={"accepted": 2})
    )

    ended = command("mass-logout", "watch", ID, "--url", api.url)

    assert (ended.code, "Cancelled: 2 accepted; 1 of 2 users were released." in ended.stderr) == (0, True)


@pytest.mark.parametrize(
    ("verb", "advice"), [("pause", "mass-logout resume"), ("resume", "mass-logout watch"), ("cancel", "anew")]
)
def test_a_mass_logout_is_paused_resumed_and_cancelled(verb: str, advice: str, api: Api, command: Command) -> None:
    api.answer(f"POST {PATH}/{ID}/{verb}", mass("running", None))

    ended = command("mass-logout", verb, ID, "--url", api.url)

    assert (ended.code, advice in ended.stderr) == (0, True)
    assert "2 users, 4 RP sessions" in ended.stdout


def test_mass_logouts_are_listed_with_who_ordered_them(api: Api, command: Command) -> None:
    api.answer(f"GET {PATH}", (200, {"mass_logouts": [mass(note="theft")[1]], "next": None}))

    ended = command("mass-logout", "list", "--url", api.url)

    for words in (ID, "everybody of acme", "theft", "user/eve", "4 accepted"):
        assert words in ended.stdout


def test_a_mass_logout_that_is_not_there_is_not_found(api: Api, command: Command) -> None:
    for verb in ("show", "watch"):
        ended = command("mass-logout", verb, ID, "--url", api.url)
        assert (ended.code, "mass-logout list`" in ended.stderr) == (3, True)
