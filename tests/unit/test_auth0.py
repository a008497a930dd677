import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import CallerError, MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SessionEvent, SubjectSessionsEnded
from backchannel.webhooks.auth0 import FORMAT, entries, parse, parse_eventbridge
from backchannel.webhooks.batches import read_batch
from backchannel.webhooks.policies import chosen
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Refused
from tests.unit.fakes import EVENTS, sample

type Json = dict[str, Any]

ADA = "auth0|0123456789abcdef01234567"
SID = "aAuth0SessionIdAAAAAAAAAAAAAAAAA"
WIKI = "aClientIdAAAAAAAAAAAAAAAAAAAAAAA"
ADMINISTRATOR = "aMgmtClientAAAAAAAAAAAAAAAAAAAAA"
AT = 1_788_256_800_000
CONTEXT = Context("https://acme.eu.auth0.com/", "claim", now=AT + 500)

STARTED = RpSessionStarted(ADA, WIKI, AT, SID)
UNCHANGED, OURS = "9002026090110000000000000000000000001223372036854775", "90020260901100000000000000000000000012233720368547752"


def _user(log_id: str, reason: Reason) -> SubjectSessionsEnded:
    return SubjectSessionsEnded(ADA, AT, log_id, reason=reason)


def _session(log_id: str, reason: Reason) -> SessionEnded:
    return SessionEnded(SID, AT, log_id, reason=reason)


SAMPLES: Mapping[str, Parsed] = {
    "s": Parsed((STARTED,)),
    "ssa": Parsed((STARTED,)),
    "seacft": Parsed((STARTED,)),
    "slo": Parsed((_session(UNCHANGED + "004", Reason.LOGOUT),)),
    "scp": Parsed((_user(UNCHANGED + "006", Reason.CREDENTIAL_CHANGED),)),
    "sdu": Parsed((_user(UNCHANGED + "007", Reason.USER_DELETED),)),
    "sapi-delete-session": Parsed((_session(UNCHANGED + "008", Reason.ADMIN_LOGOUT),)),
    "sapi-delete-user-sessions-ours": Parsed((_user(OURS + "01", Reason.ADMIN_LOGOUT),)),
    "sapi-revoke-session-ours": Parsed((_session(OURS + "02", Reason.ADMIN_LOGOUT),)),
    "sapi-delete-client-ours": IGNORED,
    "slo-without-session-ours": UNMAPPABLE,
    "s-of-another-domain-ours": IGNORED,
    "srrt-ours": Parsed((SessionEnded(SID, AT, OURS + "06", WIKI, Reason.LOGOUT, None, "token_revoked"),)),
    "f-ours": IGNORED,
}


def item(name: str, details: object = None, **changed: Any) -> Json:
    """Return a sample's item with other members in its log."""
    (found,) = sample(f"auth0-logstream-{name}.json")
    own = found["data"] if details is None else {**found["data"], "details": details}
    return {**found, "data": {**own, **changed}}


def read(document: object, context: Context = CONTEXT) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), context)


def read_all(body: bytes, context: Context = CONTEXT) -> Parsed:
    return read_batch(entries(Proven(body)), lambda each: parse(each, context))


def test_every_sample_has_its_expectation() -> None:
    names = {path.stem.removeprefix("auth0-logstream-") for path in EVENTS.glob("auth0-logstream-*")}

    assert names == {*SAMPLES, "jsonlines", "jsonobject"}


@pytest.mark.parametrize(("name", "expected"), SAMPLES.items(), ids=SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str, expected: Parsed) -> None:
    assert read_all((EVENTS / f"auth0-logstream-{name}.json").read_bytes()) == expected


# --- three shapes -----------------------------------------------------------------------------------------------------

LINES = (EVENTS / "auth0-logstream-jsonlines.txt").read_bytes()
LOGIN = replace(CONTEXT, issuer="https://login.example.test/")
SESS = "sessEXAMPLE00000000000000000005e55"


def test_json_lines_are_read_one_by_one() -> None:
    parsed = chosen(read_all(LINES, LOGIN), FORMAT.ends_sessions)

    assert [type(each) for each in parsed.events] == [RpSessionStarted, RpSessionStarted, SessionEnded]
    assert {each.sid for each in parsed.events if not isinstance(each, SubjectSessionsEnded)} == {SESS}
    assert (parsed.ignored, parsed.not_chosen, parsed.refused) == (2, ("token_revoked",), ())


def test_one_object_is_read_as_a_batch_of_one() -> None:
    (event,) = read_all((EVENTS / "auth0-logstream-jsonobject.json").read_bytes()).events

    assert event == SessionEnded(
        SESS, 1_788_249_600_000, "900202609010800000000000000000000000001223372036854775106", reason=Reason.LOGOUT
    )


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\n\n", b"\n \n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"])
def test_all_shapes_mean_the_same(separator: bytes, end: bytes) -> None:
    items = [json.loads(line) for line in LINES.splitlines()]
    lines = separator.join(json.dumps(each).encode() for each in items) + end

    assert (
        read_all(lines, LOGIN)
        == read_all(json.dumps(items).encode(), LOGIN)
        == read_all(json.dumps(items, indent=1).encode(), LOGIN)
    )


@pytest.mark.parametrize(
    "broken", [b"{", b"x", b"[]", b"7", b"null", b"\xff", b'{"log_id": 1, "log_id": 2}', b"{}", b'{"data": {}}']
)
def test_a_broken_line_is_refused_and_keeps_no_other_out(broken: bytes) -> None:
    first, *others = LINES.splitlines()

    parsed = read_all(b"\n".join([first, broken, *others]), LOGIN)

    assert parsed.refused == (Refused(1, "malformed_request"),)
    assert replace(parsed, refused=()) == read_all(LINES, LOGIN)


@pytest.mark.parametrize("body", [b"{", b"x", b"7", b"null", b'"s"', b"\xff", b"[1]", b"{}", b"[[]]"])
def test_what_is_no_log_at_all_is_refused_and_still_a_success(body: bytes) -> None:
    assert read_all(body) == Parsed(refused=(Refused(0, "malformed_request"),))


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n", b"[]"])
def test_nothing_causes_nothing(body: bytes) -> None:
    assert read_all(body) == Parsed()


def test_eventbridge_has_the_same_item_in_an_envelope() -> None:
    envelope = sample("auth0-eventbridge-slo.json")

    parsed = parse_eventbridge(Proven(json.dumps(envelope).encode()), CONTEXT)

    assert parsed == Parsed((SessionEnded(SID, AT, envelope["detail"]["log_id"], reason=Reason.LOGOUT),))
    assert parsed == read(envelope["detail"])


@pytest.mark.parametrize("detail", [None, [], "{}", {}, {"log_id": "1"}, {"log_id": "1", "data": []}, {"data": {"type": None}}])
def test_an_envelope_without_a_log_is_malformed(detail: object) -> None:
    with pytest.raises(MalformedRequestError):
        parse_eventbridge(Proven(json.dumps({"id": "1", "detail": detail}).encode()), CONTEXT)


# --- whose and which --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s", "ssa", "seacft"])
def test_the_login_of_another_domain_is_another_issuers(name: str) -> None:
    assert read(item(name, hostname="login.example.test")) == IGNORED
    assert read(item(name, hostname="login.example.test"), LOGIN) == Parsed((STARTED,))
    assert read(item(name, hostname="ACME.eu.auth0.com")) == Parsed((STARTED,))
    assert read(item(name, hostname=None)) == Parsed((STARTED,))


@pytest.mark.parametrize("name", ["slo", "scp", "sdu", "sapi-delete-session", "srrt-ours"])
def test_an_end_is_the_tenants_whatever_the_domain(name: str) -> None:
    assert read(item(name, hostname="login.example.test")) == SAMPLES[name]


@pytest.mark.parametrize("name", ["s", "ssa", "seacft"])
@pytest.mark.parametrize("missing", [{"user_id": ""}, {"user_id": None}, {"client_id": None}, {"client_id": ""}])
def test_a_login_of_nobody_or_at_nothing_starts_nothing(name: str, missing: Json) -> None:
    assert read(item(name, **missing)) == IGNORED


@pytest.mark.parametrize("name", ["scp", "sdu"])
@pytest.mark.parametrize("user", [None, "", 7])
def test_an_end_of_nobody_is_unmappable(name: str, user: object) -> None:
    assert read(item(name, user_id=user)) == UNMAPPABLE


@pytest.mark.parametrize(
    ("prompts", "sid"),
    [
        ([{"session_id": SID}, {"session_id": SID}, {"name": "login"}, None], SID),
        ([{"session_id": SID}, {"session_id": "another"}], None),
        *(([], None), (None, None), ("x", None), ([{"session_id": ""}], None)),
    ],
)
def test_a_silent_logins_session_is_the_only_one_of_its_prompts(prompts: object, sid: str | None) -> None:
    assert read(item("ssa", {"prompts": prompts})) == Parsed((replace(STARTED, sid=sid),))
    assert read(item("ssa", {"prompts": prompts, "session_id": "given"})) == Parsed((replace(STARTED, sid="given"),))


def test_a_login_without_a_session_starts_one_without_sid() -> None:
    assert read(item("s", {})) == Parsed((replace(STARTED, sid=None),))


@pytest.mark.parametrize("details", [{}, {"refresh_token": {}}, {"refresh_token": None}, {"refresh_token": {"session_id": ""}}])
def test_a_code_exchange_without_a_session_is_no_second_start(details: Json) -> None:
    assert read(item("seacft", details)) == IGNORED


@pytest.mark.parametrize("details", [{}, {"session_id": ""}, {"session_id": None}, [], "x"])
def test_a_logout_without_a_session_means_the_user_only_if_the_source_says_so(details: object) -> None:
    widened = replace(CONTEXT, unmatched_sid="end_subject")

    assert read(item("slo", details)) == UNMAPPABLE
    assert read(item("slo", details), widened) == Parsed((_user(UNCHANGED + "004", Reason.LOGOUT),))
    assert read(item("slo", details, user_id=""), widened) == UNMAPPABLE


def test_where_session_ids_are_no_sid_a_user_is_meant_or_nobody() -> None:
    untrusted = replace(CONTEXT, sid_trust="none")

    assert read(item("s"), untrusted) == Parsed((replace(STARTED, sid=None),))
    assert read(item("slo"), untrusted) == Parsed((_user(UNCHANGED + "004", Reason.LOGOUT),))
    assert read(item("slo", user_id=""), untrusted) == UNMAPPABLE
    assert read(item("sapi-delete-session"), untrusted) == UNMAPPABLE


def test_a_revoked_token_ends_nothing_by_default_and_only_that_clients_part_otherwise() -> None:
    assert chosen(SAMPLES["srrt-ours"], FORMAT.ends_sessions).not_chosen == ("token_revoked",)
    assert read(item("srrt-ours", {"refresh_token": {"session_id": SID}})) == SAMPLES["srrt-ours"]
    assert read(item("srrt-ours", {"credential_id": "rt_0001"})) == IGNORED
    assert read(item("srrt-ours", client_id=None)) == IGNORED


def _operation(path: object, method: object = "delete", status: object = 202) -> Parsed:
    details = {"request": {"method": method, "path": path}, "response": {"statusCode": status}}
    return read(item("sapi-delete-session", details, user_id="auth0|administrator"))


def test_an_operation_is_about_its_path_and_never_about_who_did_it() -> None:
    for path in ("/api/v2/sessions/s1", "/api/v2/users/auth0%7Cada/sessions"):
        shown = repr(_operation(path))
        assert ADMINISTRATOR not in shown
        assert "administrator" not in shown
    assert _operation("/api/v2/users/auth0%7Cada/sessions").events[0] == SubjectSessionsEnded(
        "auth0|ada", AT, UNCHANGED + "008", reason=Reason.ADMIN_LOGOUT
    )


@pytest.mark.parametrize(
    ("path", "method"),
    [
        *(("/api/v2/sessions/s1", "get"), ("/api/v2/sessions/s1", "patch"), ("/api/v2/sessions/s1/revoke", "delete")),
        *(("/api/v2/sessions/", "delete"), ("/api/v2/sessions", "delete"), ("/api/v2/sessions/s1/clients", "delete")),
        *(("/api/v2/users/a/sessions", "post"), ("/api/v2/users//sessions", "delete"), ("/api/v2/users/a", "delete")),
        *(("/sessions/s1", "delete"), ("x/api/v2/sessions/s1", "delete"), (None, "delete"), ("/api/v2/sessions/s1", None)),
    ],
)
def test_another_operation_is_ignored(path: object, method: object) -> None:
    assert _operation(path, method) == IGNORED


@pytest.mark.parametrize("status", [199, 300, 401, 404, 500, None, "202", True])
def test_an_operation_that_failed_is_ignored(status: object) -> None:
    assert _operation("/api/v2/sessions/s1", status=status) == IGNORED


@pytest.mark.parametrize("method", ["delete", "DELETE", "Delete"])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_an_operation_that_succeeded_ends_its_session(method: str, status: int) -> None:
    assert _operation("/api/v2/sessions/s%2F1", method, status).events[0] == SessionEnded(
        "s/1", AT, UNCHANGED + "008", reason=Reason.ADMIN_LOGOUT
    )


@pytest.mark.parametrize("name", [name for name, parsed in SAMPLES.items() if parsed.events])
def test_a_log_that_comes_again_is_the_same_however_late(name: str) -> None:
    assert read(item(name), replace(CONTEXT, now=AT + 7 * 86_400_000)) == SAMPLES[name]
    assert FORMAT.max_age is None


@pytest.mark.parametrize("name", [name for name, parsed in SAMPLES.items() if parsed.events])
@pytest.mark.parametrize("date", [None, "", "yesterday", AT, "2026-09-01"])
def test_what_happened_at_no_time_is_refused(name: str, date: object) -> None:
    with pytest.raises(MalformedRequestError):
        read(item(name, date=date))


@pytest.mark.parametrize("name", [*SAMPLES])
def test_addresses_and_names_are_not_kept(name: str) -> None:
    shown = repr(read(item(name, user_name="ada@example.test", ip="192.0.2.10", description="a text")))

    assert not [each for each in ("ada@example.test", "192.0.2.10", "a text") if each in shown]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
members = st.sampled_from(["date", "type", "user_id", "client_id", "hostname"])
inner = st.sampled_from(["session_id", "prompts", "refresh_token", "request", "response"])


@given(st.sampled_from([*SAMPLES]), st.dictionaries(members, anything), st.none() | st.dictionaries(inner, anything), anything)
def test_a_broken_log_is_refused_or_read_as_something_well_formed(
    name: str, changed: Json, details: Json | None, log_id: object
) -> None:
    try:
        parsed = read({**item(name, details, **changed), "log_id": log_id})
    except CallerError:
        return
    events: tuple[SessionEvent, ...] = parsed.events
    assert len(events) + parsed.ignored + parsed.unmappable == 1


@given(st.binary() | st.lists(anything).map(lambda items: json.dumps(items).encode()))
def test_no_body_makes_a_batch_fail_otherwise(body: bytes) -> None:
    try:
        read_all(body)
    except CallerError:
        return
