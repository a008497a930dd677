from dataclasses import replace

from backchannel.sessions.events import RpSessionStarted, SessionEnded, logout_id
from backchannel.sessions.implied_starts import SAME_END, implied_session, implied_start
from backchannel.sessions.rp_sessions import RpSession

ISSUER, AT = "https://idp.example/", 1_788_249_600_999
END = SessionEnded("sid-1", AT, "jti-1")
IMPLIED = implied_session("wiki", "ada", "sid-1", END)
REPORTED = RpSession("wiki", "ada-of-the-provider", AT - 5000, "sid-1", "ada")
THIS = logout_id(ISSUER, END)


def _start(known: RpSession | None, *, is_told_by_others: bool = False) -> RpSessionStarted | None:
    return implied_start(ISSUER, IMPLIED, known, END, is_told_by_others=is_told_by_others)


def test_a_session_that_nobody_reported_is_started() -> None:
    assert _start(None) == RpSessionStarted("ada", "wiki", AT, "sid-1")


def test_a_session_that_was_reported_stays_as_it_is() -> None:
    assert _start(REPORTED) is None


def test_another_token_about_the_same_end_starts_nothing() -> None:
    ended = replace(REPORTED, ended_by=THIS, ended_at=AT - SAME_END)

    assert _start(ended) is None


def test_the_end_of_a_later_login_in_the_same_session_is_an_end_of_its_own() -> None:
    ended = replace(REPORTED, ended_by=THIS, ended_at=AT - SAME_END - 1)

    assert _start(ended) == RpSessionStarted("ada-of-the-provider", "wiki", AT, "sid-1", "ada")


def test_what_another_logout_tells_is_enough_unless_the_client_takes_the_provider_s_tokens_alone() -> None:
    ended = replace(REPORTED, ended_by="another", ended_at=AT)

    assert _start(ended, is_told_by_others=True) is None
    assert _start(ended, is_told_by_others=False) is not None


def test_without_sub_the_session_has_no_subject() -> None:
    assert implied_session("wiki", None, "sid-1", END) == RpSession("wiki", "", AT, "sid-1")
