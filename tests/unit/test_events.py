from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.api.views import timestamp
from backchannel.errors import EventTimeInvalidError, ExpiryInvalidError, IdentifierInvalidError
from backchannel.reasons import Reason
from backchannel.sessions.events import (
    EARLIEST,
    MAX_CLOCK_DIFFERENCE,
    MAX_EXPIRY,
    MAX_IDENTIFIER,
    Ended,
    SessionEnded,
    SubjectSessionsEnded,
    event_time,
    expiry_time,
    identifier,
    logout_id,
    subject,
)

ISSUER = "https://idp.example/"
NOW = 1_788_256_800_000

few = st.sampled_from(["a", "b", '","', "sid", "sub"])  # few of them, so that two events often share one
ends: st.SearchStrategy[Ended] = st.builds(
    SessionEnded, sid=few, ended_at=st.just(NOW), source_event_id=few, client_id=st.none() | few
) | st.builds(SubjectSessionsEnded, sub=few, ended_at=st.just(NOW), source_event_id=few, client_id=st.none() | few)


@given(few, few, st.integers(0, NOW), st.sampled_from(Reason))
def test_the_end_of_a_session_is_one_logout_whatever_number_of_events_tell_of_it(
    sid: str, other_event: str, at: int, reason: Reason
) -> None:
    event = SessionEnded(sid, NOW, "event-1")

    repeated = replace(event, source_event_id=other_event, ended_at=at, reason=reason)

    assert logout_id(ISSUER, repeated) == logout_id(ISSUER, event)


@given(ends, st.integers(0, NOW), st.sampled_from(Reason))
def test_a_repeated_event_names_the_same_logout(event: Ended, at: int, reason: Reason) -> None:
    repeated = replace(event, ended_at=at, reason=reason)

    assert logout_id(ISSUER, repeated) == logout_id(ISSUER, event)


@given(few, ends, few, ends)
def test_two_different_ends_never_share_a_logout(issuer: str, one: Ended, other_issuer: str, other: Ended) -> None:
    are_the_same = _identity(issuer, one) == _identity(other_issuer, other)

    assert (logout_id(issuer, one) == logout_id(other_issuer, other)) == are_the_same


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (SessionEnded("sid-1", NOW, "e1"), "6c644c7322c7a2ae583bc28b0ef4026ee7c43d2f"),
        (SessionEnded("sid-1", NOW, "e1", client_id="wiki"), "9388827f05e12a28f73bed5b0bc1f980fc3e0e8c"),
        (SubjectSessionsEnded("ada", NOW, "e1"), "b341084f74391158734cb62bdfb549a1a597e57a"),
        (SubjectSessionsEnded("ada", NOW, "e1", client_id="wiki"), "5465278d87cd5a4ebb94db5c9b9e13aa71ba5fdb"),
    ],
)
def test_a_logout_keeps_its_name_from_release_to_release(event: Ended, expected: str) -> None:
    assert logout_id(ISSUER, event) == expected


TEXTS = {
    "one character": "a",
    "printable ASCII": "auth0|~!#%:/ 5f7c8ec7c33c6c004bbafe82",
    "letters": "jürgen-用户",
    "emoji joined by ZWJ": "\U0001f469\u200d\U0001f4bb",
    "ZWNJ, as in Persian names": "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
    "NBSP": "de\u00a0la\u00a0cruz",
    "soft hyphen": "co\u00adop",
    "line separator": "a\u2028b",
    "right-to-left override": "a\u202eb",
    "private use and unassigned": "\ue000\u0378\uffff",
    "longer than Core allows": "a" * 256,
    "escapes in a key": "#%" * 128,
    "the longest": "\U0001f469" * MAX_IDENTIFIER,
}


@pytest.mark.parametrize("name", ["sub", "sid", "client_id"])
@pytest.mark.parametrize("value", TEXTS.values(), ids=TEXTS)
def test_any_text_is_an_identifier(name: str, value: str) -> None:
    assert identifier(name, value) == value
    assert subject(value) == value


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40))
def test_every_text_without_control_characters_is_an_identifier(value: str) -> None:
    assert identifier("sid", value) == value


@pytest.mark.parametrize("character", [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0xD800, 0xDFFF)], ids=ascii)
def test_control_characters_and_half_surrogate_pairs_are_refused(character: str) -> None:
    for value in (character, f"a{character}", f"{character}a"):
        with pytest.raises(IdentifierInvalidError, match=r"^sid "):
            identifier("sid", value)


@pytest.mark.parametrize("value", ["", "a" * (MAX_IDENTIFIER + 1), None, 7, True, ["a"], {"a": 1}])
def test_what_is_no_text_or_too_long_is_no_identifier(value: object) -> None:
    with pytest.raises(IdentifierInvalidError, match=r"^client_id "):
        identifier("client_id", value)
    with pytest.raises(IdentifierInvalidError, match=r"^sub "):
        subject(value)


@pytest.mark.parametrize("at", [EARLIEST, NOW - 1, NOW])
def test_an_event_of_the_past_keeps_its_time(at: int) -> None:
    assert event_time(at, NOW) == at


@pytest.mark.parametrize("at", [NOW + 1, NOW + MAX_CLOCK_DIFFERENCE])
def test_a_time_ahead_of_us_is_cut_to_the_time_of_receipt(at: int) -> None:
    assert event_time(at, NOW) == NOW


@pytest.mark.parametrize("at", [0, NOW // 1000, EARLIEST - 1])
def test_a_time_in_seconds_is_refused_instead_of_being_january_1970(at: int) -> None:
    with pytest.raises(EventTimeInvalidError):
        event_time(at, NOW)


@pytest.mark.parametrize("at", [-1, NOW + MAX_CLOCK_DIFFERENCE + 1, 10**18])
def test_an_event_from_the_future_or_before_the_epoch_is_refused(at: int) -> None:
    with pytest.raises(EventTimeInvalidError):
        event_time(at, NOW)


@pytest.mark.parametrize("at", [0, NOW, MAX_EXPIRY])
def test_a_session_may_end_by_itself_at_any_time_that_can_be_shown(at: int) -> None:
    assert timestamp(expiry_time(at)).year <= 9999


@pytest.mark.parametrize("at", [-1, MAX_EXPIRY + 1, 10**18])
def test_an_expiry_that_no_answer_could_show_is_refused(at: int) -> None:
    with pytest.raises(ExpiryInvalidError):
        expiry_time(at)


def _identity(issuer: str, event: Ended) -> tuple[str | None, ...]:
    if isinstance(event, SubjectSessionsEnded):
        return ("sub", issuer, event.sub, event.client_id, event.source_event_id)
    return ("sid", issuer, event.sid, event.client_id, None if event.client_id is None else event.source_event_id)
