import pytest

from tests.support.command import Command
from tests.unit.cli.conftest import Api

OF_LOGOUT = "/providers/acme/logouts/abc/redeliveries"
OF_CLIENT = "/providers/acme/clients/wiki/redeliveries"


def test_all_pages_of_a_redelivery_are_asked_for_with_the_same_body(api: Api, command: Command) -> None:
    api.answer(
        f"POST {OF_CLIENT}",
        (202, {"queued": 500, "skipped": {"waiting": 2}, "next": "x"}),
        (202, {"queued": 3, "skipped": {"waiting": 1, "in_progress": 1}, "next": None}),
    )

    ended = command(
        "resend", "--client", "acme/wiki", "--since", "2h", "--status", "rejected", "--now", "--json", "--url", api.url
    )

    assert (ended.code, ended.json) == (0, {"queued": 503, "skipped": {"waiting": 3, "in_progress": 1}})
    assert [path for _, path, _ in api.requests] == [OF_CLIENT, f"{OF_CLIENT}?after=x"]
    assert api.requests[0][2] == api.requests[1][2]
    assert api.requests[0][2].items() >= {"now": True, "statuses": ["rejected"]}.items()


def test_a_redelivery_says_what_was_queued_and_how_to_watch_it(api: Api, command: Command) -> None:
    api.answer(f"POST {OF_LOGOUT}", (202, {"queued": 1, "skipped": {"accepted": 2}, "next": None}))

    ended = command("resend", "--logout", "acme/abc", "--url", api.url)

    assert ended.stdout == "1 queued again; left alone: 2 accepted.\n"
    assert f"backchannel --url {api.url} logout watch acme/abc" in ended.stderr


def test_a_redelivery_of_what_waits_names_the_option_that_hastens_it(api: Api, command: Command) -> None:
    api.answer(f"POST {OF_LOGOUT}", (202, {"queued": 0, "skipped": {"waiting": 1}, "next": None}))

    ended = command("resend", "--logout", "acme/abc", "--url", api.url)

    assert (ended.code, "--now" in ended.stderr) == (0, True)


def test_a_redelivery_is_repeated_after_a_503(api: Api, command: Command) -> None:
    api.answer(f"POST {OF_LOGOUT}", (503, {"code": "queue_unavailable"}), (202, {"queued": 1, "skipped": {}, "next": None}))

    ended = command("resend", "--logout", "acme/abc", "--url", api.url)

    assert (ended.code, len(api.requests)) == (0, 2)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "One of --logout and --client"),
        (("--logout", "acme/abc", "--client", "acme/wiki"), "One of --logout and --client"),
        (("--client", "acme/wiki"), "--since is needed"),
        (("--client", "acme/wiki", "--since", "tomorrow"), "is no time"),
        (("--logout", "acme/abc", "--since", "2h"), "are for the deliveries of a client"),
        (("--logout", "abc"), "Write PROVIDER/LOGOUT"),
    ],
)
def test_a_redelivery_that_is_not_clear_is_a_usage_error(words: tuple[str, ...], why: str, api: Api, command: Command) -> None:
    ended = command("resend", *words, "--url", api.url)

    assert (ended.code, api.requests) == (2, [])
    assert why in ended.stderr
