from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.api.views import timestamp
from backchannel.errors import EventTimeInvalidError, ExpiryInvalidError, IdentifierInvalidError
from backchannel.sessions.events import (
    EARLIEST,
    MAX_CLOCK_DIFFERENCE,
    MAX_EXPIRY,
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


@given(few, few, st.integers(0, NOW), few)
def test_the_end_of_a_session_is_one_logout_whatever_number_of_events_tell_of_it(
    sid: str, other_event: str, at: int, reason: str
) -> None:
    event = SessionEnded(sid, NOW, "event-1")

    repeated = replace(event, source_event_id=other_event, ended_at=at, reason=reason)

    assert logout_id(ISSUER, repeated) == logout_id(ISSUER, event)


@given(ends, st.integers(0, NOW), st.text())
def test_a_repeated_event_names_the_same_logout(event: Ended, at: int, reason: str) -> None:
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


@pytest.mark.parametrize("value", ["a", "a" * 255, "with space", "~!#%:/", "auth0|5f7c8ec7c33c6c004bbafe82"])
def test_printable_ascii_is_an_identifier(value: str) -> None:
    assert identifier("sid", value) == value


@pytest.mark.parametrize("value", ["", "a" * 256, "tab\t", "line\n", "nul\0", "é", "\x7f", None, 7, True, ["a"], {"a": 1}, b"a"])
def test_everything_else_is_none(value: object) -> None:
    with pytest.raises(IdentifierInvalidError, match="client_id"):
        identifier("client_id", value)


@pytest.mark.parametrize("value", ["ada", "jürgen", "用户", "a" * 255])
def test_a_subject_may_hold_any_printable_characters(value: str) -> None:
    assert subject(value) == value


@pytest.mark.parametrize("value", ["", "a" * 256, "a\u202eb", "a\u0000b", "a\u2028b", "\ud800", None])
def test_a_subject_holds_no_control_characters(value: object) -> None:
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
