import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import (
    CallerError,
    EventTimeInvalidError,
    ExpiryInvalidError,
    IdentifierInvalidError,
    IssuerMismatchError,
    MalformedRequestError,
)
from backchannel.reasons import Reason, is_emergency
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SessionEvent, SubjectSessionsEnded
from backchannel.webhooks.request import Context, Parsed, Proven, SidTrust, UnmatchedSid
from backchannel.webhooks.standard_webhooks import parse
from tests.unit.fakes import sample

AT = 1_788_256_800_000
WHEN = "2026-09-01T10:00:00Z"
ISSUER = "https://idp.example.test/"
CONTEXT = Context(ISSUER, "claim", AT)
DATA: dict[str, dict[str, Any]] = {
    "rp_session.started": {"sub": "ada", "sid": "sid-1", "client_id": "wiki"},
    "session.ended": {"sub": "ada", "sid": "sid-1"},
    "user.sessions_ended": {"sub": "ada"},
}

values = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)
members = st.sampled_from(["iss", "sub", "sid", "client_id", "client_sub", "expires_at", "reason", "x"])


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("rp_session.started", RpSessionStarted("ada", "wiki", AT, "sid-0001")),
        ("session.ended", SessionEnded("sid-0001", AT, "msg-1", reason=Reason.LOGOUT)),
    ],
)
def test_a_sample_is_read_as_its_session_event(name: str, event: SessionEvent) -> None:
    document = sample(f"standardwebhooks-generic-{name}.json")

    assert _parse(document) == Parsed((event,))


@pytest.mark.parametrize(
    ("kind", "data", "event"),
    [
        ("rp_session.started", {}, RpSessionStarted("ada", "wiki", AT, "sid-1")),
        ("rp_session.started", {"sid": None}, RpSessionStarted("ada", "wiki", AT)),
        ("rp_session.started", {"client_sub": "pw-7"}, RpSessionStarted("ada", "wiki", AT, "sid-1", "pw-7")),
        ("session.ended", {}, SessionEnded("sid-1", AT, "msg-1")),
        ("session.ended", {"sub": None}, SessionEnded("sid-1", AT, "msg-1")),
        ("session.ended", {"client_id": "wiki"}, SessionEnded("sid-1", AT, "msg-1", "wiki")),
        ("session.ended", {"reason": "logout"}, SessionEnded("sid-1", AT, "msg-1", None, Reason.LOGOUT)),
        ("user.sessions_ended", {}, SubjectSessionsEnded("ada", AT, "msg-1")),
        ("user.sessions_ended", {"client_id": "wiki"}, SubjectSessionsEnded("ada", AT, "msg-1", "wiki")),
        ("user.sessions_ended", {"reason": "compromised"}, SubjectSessionsEnded("ada", AT, "msg-1", None, Reason.COMPROMISED)),
    ],
)
def test_each_type_becomes_its_session_event(kind: str, data: dict[str, Any], event: SessionEvent) -> None:
    document = {"type": kind, "timestamp": WHEN, "data": DATA[kind] | data}

    assert _parse(document).events == (event,)


def test_a_type_of_somebody_else_is_ignored() -> None:
    assert _parse({"type": "invoice.paid"}) == Parsed(ignored=1)


@pytest.mark.parametrize("iss", ["https://idp.example.test", "https://other.example/", None, 7])
@pytest.mark.parametrize("kind", DATA)
def test_an_event_of_another_issuer_is_refused(kind: str, iss: object) -> None:
    with pytest.raises(IssuerMismatchError):
        _event(kind, iss=iss)


@pytest.mark.parametrize("kind", DATA)
def test_an_event_may_name_its_issuer(kind: str) -> None:
    assert _event(kind, iss=ISSUER) == _event(kind)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("rp_session.started", "sub"),
        ("rp_session.started", "client_id"),
        ("session.ended", "sid"),
        ("user.sessions_ended", "sub"),
    ],
)
@pytest.mark.parametrize("value", [None, "", 7, "a\n", "a" * 2049])
def test_an_event_that_does_not_say_who_is_refused(kind: str, name: str, value: object) -> None:
    with pytest.raises(IdentifierInvalidError, match=name):
        _event(kind, "claim", **{name: value})


@pytest.mark.parametrize("name", ["type", "timestamp", "data"])
@pytest.mark.parametrize("kind", DATA)
def test_a_missing_member_is_refused(kind: str, name: str) -> None:
    document = {"type": kind, "timestamp": WHEN, "data": DATA[kind]}
    del document[name]

    with pytest.raises(MalformedRequestError, match=name):
        _parse(document)


@pytest.mark.parametrize(
    ("sid_trust", "sid"), [("claim", "sid-1"), ("sha256", hashlib.sha256(b"sid-1").hexdigest()), ("none", None)]
)
def test_a_start_has_the_sid_that_the_source_is_trusted_with(sid_trust: SidTrust, sid: str | None) -> None:
    assert _event("rp_session.started", sid_trust) == RpSessionStarted("ada", "wiki", AT, sid)


def test_a_session_ends_by_the_hash_of_its_sid_where_the_source_is_trusted_with_it() -> None:
    sid = hashlib.sha256(b"sid-1").hexdigest()

    assert _event("session.ended", "sha256") == SessionEnded(sid, AT, "msg-1")


def test_without_a_trusted_sid_the_subjects_sessions_end() -> None:
    assert _event("session.ended", "none") == SubjectSessionsEnded("ada", AT, "msg-1")


def test_without_a_trusted_sid_the_end_at_one_client_stays_with_that_client() -> None:
    event = _event("session.ended", "none", client_id="wiki")

    assert event == SubjectSessionsEnded("ada", AT, "msg-1", client_id="wiki")


def test_with_neither_a_trusted_sid_nor_a_subject_the_event_cannot_be_mapped() -> None:
    document = {"type": "session.ended", "timestamp": WHEN, "data": {"sid": "sid-1"}}

    assert _parse(document, "none") == Parsed(unmappable=1)


@pytest.mark.parametrize(
    "when",
    [
        WHEN,
        "2026-09-01T10:00:00.000Z",
        "2026-09-01T10:00:00,0Z",
        "2026-09-01T10:00:00+00:00",
        "2026-09-01T12:00:00+02:00",
        "2026-09-01 10:00:00Z",
        "20260901T100000Z",
    ],
)
def test_a_time_may_be_written_in_any_way_that_iso_8601_has_for_it(when: str) -> None:
    assert _parse({"type": "user.sessions_ended", "timestamp": when, "data": {"sub": "ada"}}).events == (
        SubjectSessionsEnded("ada", AT, "msg-1"),
    )


@pytest.mark.parametrize("when", ["", "now", "1788256800", "2026-13-01T00:00:00Z", "2026-09-01T10:00:00+99:00", 1788256800, None])
def test_what_is_no_time_is_refused(when: object) -> None:
    with pytest.raises(MalformedRequestError, match="timestamp"):
        _parse({"type": "user.sessions_ended", "timestamp": when, "data": {"sub": "ada"}})


@pytest.mark.parametrize("name", ["timestamp", "expires_at"])
@pytest.mark.parametrize(
    "when",
    [
        *("2026-09-01T10:00:00", "2026-09-01 10:00:00.5", "20260901T100000"),
        *("2026-09-01", "20260901", "2026-W36-2", "2026-09-01Z"),
        *("2026-09-01T10Z", "2026-09-01T10:00Z", "2026-09-01T1000+02:00"),
    ],
)
def test_a_time_without_zone_or_without_seconds_is_refused(name: str, when: str) -> None:
    data = DATA["rp_session.started"] | ({"expires_at": when} if name == "expires_at" else {})
    timestamp = when if name == "timestamp" else WHEN

    with pytest.raises(MalformedRequestError, match=f"{name} must be"):
        _parse({"type": "rp_session.started", "timestamp": timestamp, "data": data})


SECOND = AT - 60_000
"""09:59:00, a minute before the time of receipt."""


@pytest.mark.parametrize("kind", ["session.ended", "user.sessions_ended"])
@pytest.mark.parametrize(
    ("when", "ended_at"),
    [
        ("2026-09-01T09:59:00Z", SECOND + 999),
        ("2026-09-01T11:59:00+02:00", SECOND + 999),
        ("2026-09-01T09:59:00.0Z", SECOND),
        ("2026-09-01T09:59:00.4Z", SECOND + 400),
        ("2026-09-01T09:59:00,999Z", SECOND + 999),
        ("2026-09-01T10:00:00Z", AT),
        ("2026-09-01T10:05:00Z", AT),
    ],
)
def test_an_end_without_a_fraction_covers_its_whole_second_up_to_now(kind: str, when: str, ended_at: int) -> None:
    (event,) = _parse({"type": kind, "timestamp": when, "data": DATA[kind]}).events

    assert event.ended_at == ended_at  # type: ignore[union-attr]


@pytest.mark.parametrize(("when", "started_at"), [("2026-09-01T09:59:00Z", SECOND), ("2026-09-01T09:59:00.4Z", SECOND + 400)])
def test_a_start_keeps_its_second(when: str, started_at: int) -> None:
    (event,) = _parse({"type": "rp_session.started", "timestamp": when, "data": DATA["rp_session.started"]}).events

    assert event.started_at == started_at  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", DATA)
def test_a_source_may_require_that_every_event_names_its_issuer(kind: str) -> None:
    strict = replace(CONTEXT, require_iss=True)
    document = {"type": kind, "timestamp": WHEN, "data": DATA[kind]}

    with pytest.raises(IssuerMismatchError):
        _parse_in(strict, document)
    with pytest.raises(IssuerMismatchError):
        _parse_in(strict, document | {"data": DATA[kind] | {"iss": "https://other.example/"}})
    assert _parse_in(strict, document | {"data": DATA[kind] | {"iss": ISSUER}}) == _parse(document)


def test_the_end_of_an_unknown_session_ends_its_subject_where_the_source_says_so() -> None:
    document = {"type": "session.ended", "timestamp": WHEN, "data": {"sid": "sid-1", "sub": "ada", "client_id": "wiki"}}

    widened = _parse_in(replace(CONTEXT, unmatched_sid="end_subject"), document)

    assert widened.events == (SessionEnded("sid-1", AT, "msg-1", "wiki", unmatched_sub="ada"),)
    assert _parse(document).events == (SessionEnded("sid-1", AT, "msg-1", "wiki"),)


@pytest.mark.parametrize("sub", ["", "a\n", "a" * 2049, 7, ["ada"], {"id": "ada"}])
@pytest.mark.parametrize("unmatched_sid", ["report", "end_subject"])
def test_a_bad_sub_beside_a_good_sid_does_not_stop_the_end(sub: object, unmatched_sid: UnmatchedSid) -> None:
    document = {"type": "session.ended", "timestamp": WHEN, "data": {"sid": "sid-1", "sub": sub}}

    parsed = _parse_in(replace(CONTEXT, unmatched_sid=unmatched_sid), document)

    assert parsed.events == (SessionEnded("sid-1", AT, "msg-1"),)


def test_a_bad_sub_is_refused_where_the_session_can_be_ended_by_it_alone() -> None:
    with pytest.raises(IdentifierInvalidError, match="sub"):
        _event("session.ended", "none", sub="a\n")


@pytest.mark.parametrize(
    "text", ["\U0001f469\u200d\U0001f4bb", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "a\u00a0b", "\u00ad", "a" * 256]
)
def test_who_has_such_a_sub_sid_or_client_id_can_be_logged_out(text: str) -> None:
    assert _event("session.ended", sid=text, client_id=text) == SessionEnded(text, AT, "msg-1", text)
    assert _event("user.sessions_ended", sub=text) == SubjectSessionsEnded(text, AT, "msg-1")
    assert _event("rp_session.started", sub=text, sid=text, client_id=text) == RpSessionStarted(text, text, AT, text)


@pytest.mark.parametrize(
    "document",
    [
        {"chosen": 1},
        {"type": "session.ended", "chosen": 1},
        {"type": "session.ended", "timestamp": WHEN, "chosen": 1},
        {"type": "session.ended", "timestamp": WHEN, "data": {"chosen": 1}},
        {"type": "user.sessions_ended", "timestamp": WHEN, "data": {"sub": {"chosen": 1}}},
    ],
)
def test_an_error_names_no_member_that_the_sender_chose(document: dict[str, Any]) -> None:
    with pytest.raises(CallerError) as caught:
        _parse(document)

    assert "chosen" not in str(caught.value)


@pytest.mark.parametrize(
    "when", ["2026-09-01T10:05:01Z", "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
)
def test_a_time_that_cannot_be_true_is_refused(when: str) -> None:
    with pytest.raises(EventTimeInvalidError):
        _parse({"type": "user.sessions_ended", "timestamp": when, "data": {"sub": "ada"}})


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z"])
def test_an_expiry_that_no_answer_could_show_is_refused(when: str) -> None:
    with pytest.raises(ExpiryInvalidError):
        _event("rp_session.started", expires_at=when)


def test_a_start_may_say_that_its_session_never_ends_by_itself() -> None:
    start = RpSessionStarted("ada", "wiki", AT, "sid-1", expires_at=253_402_300_799_000)

    assert _event("rp_session.started", expires_at="9999-12-31T23:59:59Z") == start


@pytest.mark.parametrize("when", ["", "never", 1788256800, True])
def test_an_expiry_that_is_no_time_is_refused(when: object) -> None:
    with pytest.raises(MalformedRequestError, match="expires_at"):
        _event("rp_session.started", expires_at=when)


@pytest.mark.parametrize("reason", [None, 7, "", " "])
def test_a_reason_that_is_no_word_is_left_out(reason: object) -> None:
    assert _event("session.ended", reason=reason) == SessionEnded("sid-1", AT, "msg-1")


@pytest.mark.parametrize("reason", ["compromised", "Compromised", " COMPROMISED ", "compromised\r\n", "\tcompromised"])
def test_an_emergency_is_one_however_its_reason_is_spelled(reason: str) -> None:
    event = _event("session.ended", reason=reason)

    assert isinstance(event, SessionEnded)
    assert is_emergency(event.reason)


@pytest.mark.parametrize("reason", ["fraud", "compromized", "a" * 1000, "two\nlines", "\u202e"])
def test_a_reason_that_nobody_knows_is_a_mere_logout_and_counted(reason: str) -> None:
    parsed = _parse({"type": "session.ended", "timestamp": WHEN, "data": {"sid": "sid-1", "reason": reason}})

    assert parsed == Parsed((SessionEnded("sid-1", AT, "msg-1", reason=Reason.LOGOUT),), unknown_reasons=1)


def test_the_reasons_of_authentiks_events_are_understood() -> None:
    parsed = _parse({"type": "user.sessions_ended", "timestamp": WHEN, "data": {"sub": "ada", "reason": "password_set"}})

    assert parsed == Parsed((SubjectSessionsEnded("ada", AT, "msg-1", reason=Reason.CREDENTIAL_CHANGED),))


def test_an_event_is_named_by_the_id_that_was_signed() -> None:
    document = {"id": "nobody-signed-this", "type": "user.sessions_ended", "timestamp": WHEN, "data": {"sub": "ada"}}

    assert _parse(document).events == (SubjectSessionsEnded("ada", AT, "msg-1"),)


def test_an_event_is_named_by_its_own_id_where_none_was_signed_beside_it() -> None:
    document = {"id": "evt-7", "type": "user.sessions_ended", "timestamp": WHEN, "data": {"sub": "ada"}}

    parsed = parse(Proven(json.dumps(document).encode()), CONTEXT)

    assert parsed.events == (SubjectSessionsEnded("ada", AT, "evt-7"),)


@pytest.mark.parametrize("event_id", [{}, {"id": None}, {"id": ""}, {"id": 7}, {"id": "a\n"}])
def test_an_event_without_any_id_is_refused(event_id: dict[str, object]) -> None:
    document = {"type": "user.sessions_ended", "timestamp": WHEN, "data": {"sub": "ada"}, **event_id}

    with pytest.raises(IdentifierInvalidError, match="id must"):
        parse(Proven(json.dumps(document).encode()), CONTEXT)


@given(st.binary() | values.map(json.dumps).map(str.encode))
def test_a_body_of_garbage_is_the_callers_fault(body: bytes) -> None:
    with pytest.raises(CallerError):
        parse(Proven(body), Context(ISSUER, "claim", AT))


@given(st.sampled_from(list(DATA)), st.dictionaries(members, values), st.text(max_size=30) | st.just(WHEN))
def test_an_event_with_wrong_members_is_the_callers_fault(kind: str, data: dict[str, Any], when: str) -> None:
    try:
        parsed = _parse({"type": kind, "timestamp": when, "data": data})
    except CallerError:
        return

    assert len(parsed.events) + parsed.ignored == 1


def _event(kind: str, sid_trust: SidTrust = "claim", **data: object) -> SessionEvent:
    (event,) = _parse({"type": kind, "timestamp": WHEN, "data": DATA[kind] | data}, sid_trust).events
    return event


def _parse(document: dict[str, Any], sid_trust: SidTrust = "claim") -> Parsed:
    return _parse_in(replace(CONTEXT, sid_trust=sid_trust), document)


def _parse_in(context: Context, document: dict[str, Any]) -> Parsed:
    return parse(Proven(json.dumps(document).encode(), "msg-1"), context)
