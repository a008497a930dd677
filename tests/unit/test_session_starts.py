"""RP sessions from before the installation: lines of JSON, each stored or refused by its number."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.api.resolver import app
from backchannel.api.session_starts import MAX_LINES, MAX_OCTETS, read_lines
from backchannel.errors import CallerError, MalformedRequestError, PayloadTooLargeError, StorageUnavailable
from backchannel.providers.table import Provider
from backchannel.sessions.events import RpSessionStarted, SessionEvent
from backchannel.sessions.intake import Taken
from tests.support.deployed import CONTEXT
from tests.unit.conftest import Log

NOW = round(datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp() * 1000)
STARTED_AT = "2026-11-01T08:00:00Z"
STARTED = round(datetime(2026, 11, 1, 8, tzinfo=UTC).timestamp() * 1000)
BOM = b"\xef\xbb\xbf"


def line(sub: str = "ada", **changed: object) -> bytes:
    members = {"sub": sub, "client_id": "wiki", "sid": "s1", "started_at": STARTED_AT, **changed}
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def subs(body: bytes) -> list[str]:
    """Return whom a part is about, none of whose lines is refused."""
    found = read_lines(body, NOW)
    assert found.refused == ()
    return [each.sub for each in found.starts]


def test_a_line_is_a_start_at_its_own_time() -> None:
    body = line(client_sub="pairwise-7", expires_at="2026-12-01T08:00:00+01:00")

    (start,) = read_lines(body, NOW).starts

    expires = round(datetime(2026, 12, 1, 7, tzinfo=UTC).timestamp() * 1000)
    assert start == RpSessionStarted("ada", "wiki", STARTED, "s1", "pairwise-7", expires, untimed=False)


@pytest.mark.parametrize(
    "body",
    [
        line("a") + b"\n" + line("b") + b"\n",
        line("a") + b"\n" + line("b"),
        line("a") + b"\r\n" + line("b") + b"\r\n",
        BOM + line("a") + b"\n" + line("b"),
        b"\n\n" + line("a") + b"\n \t\r\n" + line("b") + b"\n\n\n",
        line("a") + b" \n\t" + line("b"),
    ],
    ids=["LF", "no LF at the end", "CRLF", "BOM", "blank lines", "white space"],
)
def test_lines_are_read_however_a_tool_has_written_them(body: bytes) -> None:
    assert subs(body) == ["a", "b"]


def test_a_line_ends_with_lf_alone() -> None:
    separators = "\u2028\u2029\u0085\x0b\x0c"[:2]

    assert subs(json.dumps({**json.loads(line()), "sub": f"a{separators}b"}, ensure_ascii=False).encode()) == [f"a{separators}b"]


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "no JSON": (b"sub,client_id", "malformed_request", ""),
    "no object": (b'["ada"]', "malformed_request", ""),
    "two objects": (line() + line(), "malformed_request", ""),
    "an array of objects": (b"[" + line() + b"]", "malformed_request", ""),
    "a name twice": (b'{"sub": "a", "sub": "b", "client_id": "wiki"}', "malformed_request", ""),
    "invalid UTF-8": (line().replace(b"ada", b"\xff"), "malformed_request", ""),
    "latin-1": (line().replace(b"ada", "adà".encode("latin-1")), "malformed_request", ""),
    "UTF-16": (line().decode().encode("utf-16"), "malformed_request", ""),
    "octets lost before": (line().replace(b"ada", "ad\ufffd".encode()), "malformed_request", ""),
    "a BOM within": (BOM + line(), "malformed_request", ""),
    "no sub": (line().replace(b'"sub"', b'"suub"'), "malformed_request", "sub"),
    "no client": (line(client_id=None), "malformed_request", "client_id"),
    "another member": (line(secret_name="x"), "malformed_request", "*"),
    "a number": (line(sid=5), "malformed_request", "sid"),
    "empty": (line(sid=""), "malformed_request", "sid"),
    "too long": (line("a" * 2049), "malformed_request", "sub"),
    "control characters": (line("a\x00"), "identifier_invalid", "sub"),
    "control characters in sid": (line(sid="a\n"), "identifier_invalid", "sid"),
    "no time": (line(started_at=None), "started_at_missing", "started_at"),
    "no zone": (line(started_at="2026-11-01T08:00:00"), "malformed_request", "started_at"),
    "no date": (line(started_at="yesterday"), "malformed_request", "started_at"),
    "the future": (line(started_at="2026-11-26T12:06:00Z"), "event_time_invalid", "started_at"),
    "long ago": (line(started_at="1999-01-01T00:00:00Z"), "event_time_invalid", "started_at"),
    "before the epoch": (line(expires_at="1969-01-01T00:00:00Z"), "expiry_invalid", "expires_at"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_that_is_not_valid_is_refused_by_its_number_and_the_others_are_read(name: str) -> None:
    wrong, code, at = REFUSED[name]

    found = read_lines(b"\n".join([line("a"), b"", wrong, line("b")]), NOW)

    assert [each.sub for each in found.starts] == ["a", "b"]
    assert [(each.line, each.code) for each in found.refused] == [(3, code)]
    assert at in [place for place, _ in found.refused[0].errors]
    assert "secret" not in str(found.refused)


@pytest.mark.parametrize("time", [STARTED, STARTED // 1000])
def test_a_time_may_be_a_number_as_everywhere_in_the_interface(time: int) -> None:
    assert read_lines(line(started_at=time), NOW).starts[0].started_at == STARTED


def test_a_hundred_lines_are_read_and_one_more_is_too_many() -> None:
    part = [line(f"user-{number}") for number in range(MAX_LINES)]

    assert len(subs(b"\n\n".join(part) + b"\n")) == MAX_LINES
    with pytest.raises(PayloadTooLargeError, match="101 lines"):
        read_lines(b"\n".join([*part, line("one more")]), NOW)


def test_a_part_has_an_end_in_octets_too() -> None:
    with pytest.raises(PayloadTooLargeError):
        read_lines(line("a" * 2048) + b" " * MAX_OCTETS, NOW)


@pytest.mark.parametrize("body", [b"", b"\n", BOM, b" \r\n\t\n"])
def test_a_part_without_lines_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        read_lines(body, NOW)


@given(st.lists(st.binary(max_size=40) | st.just(line()), max_size=MAX_LINES))
def test_no_octets_make_it_fail_and_every_line_is_stored_or_refused(lines: list[bytes]) -> None:
    body = b"\n".join(lines)
    try:
        found = read_lines(body, NOW)
    except CallerError:
        return

    there = [each for each in body.removeprefix(BOM).split(b"\n") if each.strip()]
    assert len(found.starts) + len(found.refused) == len(there)


# --- The route --------------------------------------------------------------------------------------------------------


class FakeIntake:
    def __init__(self, fault: StorageUnavailable | None = None) -> None:
        self.fault = fault
        self.taken: list[SessionEvent] = []

    def take(self, _: Provider, events: Sequence[SessionEvent], __: int) -> Taken:
        if self.fault is not None:
            raise self.fault
        self.taken += events
        return Taken(len(events), 1)


def post(intake: FakeIntake, body: bytes, kind: str | None = "application/x-ndjson", *, encoded: bool = False) -> Any:
    headers = {} if kind is None else {"Content-Type": kind}
    event: Any = {
        "httpMethod": "POST",
        "path": "/providers/acme/sessions",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "body": base64.b64encode(body).decode() if encoded else body.decode(errors="replace"),
        "isBase64Encoded": encoded,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "live", "identity": {"userArn": "arn:aws:iam::123456789012:user/ops"}},
    }
    acme = Provider("acme", "https://idp.example/", ())
    app.append_context(dependencies=SimpleNamespace(providers=SimpleNamespace(get=lambda _: acme), intake=intake))
    answer = app.resolve(event, cast("Any", CONTEXT))
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("encoded", [False, True])
def test_the_answer_counts_what_is_stored_and_names_what_is_not(encoded: bool) -> None:  # noqa: FBT001
    intake = FakeIntake()

    status, answer = post(intake, b"\n".join([line("a"), b"{}", line("b")]), encoded=encoded)

    assert (status, answer["started"], answer["ended"]) == (202, 2, 1)
    assert [(each["line"], each["code"]) for each in answer["refused"]] == [(2, "malformed_request")]
    assert answer["refused"][0]["errors"] == [{"at": name, "what": "Field required"} for name in ("sub", "client_id")]
    assert len(intake.taken) == 2


def test_octets_that_api_gateway_replaced_are_noticed() -> None:
    _, answer = post(FakeIntake(), line().replace(b"ada", b"\xff"))

    assert [each["code"] for each in answer["refused"]] == ["malformed_request"]


@pytest.mark.parametrize("kind", [None, "application/json", "application/json; charset=utf-8"])
def test_one_object_is_answered_as_ever(kind: str | None) -> None:
    assert post(FakeIntake(), line(), kind) == (202, {"started": 1, "ended": 1})


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (line(), "text/csv", 415, "content_type_unsupported"),
        (line(), "application/jsonl", 415, "content_type_unsupported"),
        (b"\n".join([line()] * 101), "application/x-ndjson; charset=utf-8", 413, "payload_too_large"),
        (b"", "application/x-ndjson", 400, "malformed_request"),
        (b"[" + line() + b"]", "application/json", 400, "malformed_request"),
        (line(client_id=None), "application/json", 400, "malformed_request"),
    ],
)
def test_a_body_that_is_refused_as_a_whole_stores_nothing(body: bytes, kind: str, status: int, code: str) -> None:
    intake = FakeIntake()

    found, answer = post(intake, body, kind)

    assert (found, answer["code"]) == (status, code)
    assert not intake.taken


def test_a_member_of_one_object_that_is_wrong_is_named() -> None:
    _, answer = post(FakeIntake(), line(sid=5), "application/json")

    assert answer["errors"] == [{"at": "body/sid", "what": "Input should be a valid string"}]


def test_a_part_that_could_not_be_stored_is_asked_for_again() -> None:
    status, answer = post(FakeIntake(StorageUnavailable("throttled")), line())

    assert (status, answer["code"]) == (503, "storage_unavailable")


def test_an_import_is_logged_with_who_asked_and_without_a_subject(log: Log) -> None:
    post(FakeIntake(), b"\n".join([line("subject-ada"), b"{}"]))

    imported = next(each for each in log.lines if each["message"] == "sessions.imported")
    assert (imported["requested_by"], imported["started"], imported["refused"]) == (
        "arn:aws:iam::123456789012:user/ops",
        1,
        {"malformed_request": 1},
    )
    assert "subject-ada" not in log.text
