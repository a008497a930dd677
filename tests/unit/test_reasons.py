import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.reasons import Reason, is_emergency
from backchannel.sessions.messages import EndMessage


@pytest.mark.parametrize("reason", Reason)
def test_a_word_of_ours_is_read_however_it_is_spelled(reason: Reason) -> None:
    assert Reason.read(f" {reason.upper()}\n") is reason
    assert Reason.is_known(reason)


@pytest.mark.parametrize(
    ("word", "reason"), [("IDLE_TIMEOUT", Reason.EXPIRED), ("MAX_TIMEOUT", Reason.EXPIRED), ("DESTROY", Reason.LOGOUT)]
)
def test_pingams_words_are_known(word: str, reason: Reason) -> None:
    assert Reason.read(word) is reason
    assert Reason.is_known(word)


@pytest.mark.parametrize("word", [None, "", " "])
def test_no_word_is_no_reason(word: str | None) -> None:
    assert Reason.read(word) is None
    assert not is_emergency(None)


@given(st.text(min_size=1).filter(lambda word: not Reason.is_known(word)))
def test_a_word_that_nobody_knows_is_never_an_emergency(word: str) -> None:
    assert Reason.read(word) in {None, Reason.LOGOUT}


def test_a_message_of_an_earlier_version_is_read_whatever_its_reason() -> None:
    message = EndMessage("acme", "logout-1", "run-1", 1, "event-1", sub="ada", reason="consent_revoked")

    assert message.event.reason is Reason.LOGOUT
