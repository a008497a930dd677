import base64

import pytest

from backchannel.errors import ContentEncodingUnsupportedError, MalformedRequestError, PayloadTooLargeError
from backchannel.webhooks.request import MAX_BODY, Request, json_object, member


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ({"body": '{"sub": "jürgen"}', "isBase64Encoded": False}, '{"sub": "jürgen"}'.encode()),
        ({"body": "eyJ9"}, b"eyJ9"),
        ({"body": base64.b64encode(b"\x00\xff").decode(), "isBase64Encoded": True}, b"\x00\xff"),
        ({"body": "\ud800"}, b"\xed\xa0\x80"),  # half of a surrogate pair is no reason to fail
        ({"body": None}, b""),
        ({}, b""),
    ],
)
def test_the_body_of_a_webhook_is_its_octets(event: dict[str, object], body: bytes) -> None:
    assert Request.of(event) == Request(body, {})


@pytest.mark.parametrize("headers", [{"X-Signature": "A", "host": "B"}, {"x-SIGNATURE": "A", "Host": "B"}])
def test_headers_are_found_by_their_names_in_lower_case(headers: dict[str, str]) -> None:
    assert Request.of({"headers": headers}).headers == {"x-signature": "A", "host": "B"}


@pytest.mark.parametrize("values", [["A", "B"], ["B", "A"]])
def test_the_values_of_a_header_that_came_twice_are_joined(values: list[str]) -> None:
    event = {"headers": {"X-Signature": values[-1], "Host": "C"}, "multiValueHeaders": {"X-Signature": values, "Host": ["C"]}}

    assert Request.of(event).headers == {"x-signature": ", ".join(values), "host": "C"}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "identity, gzip", "x"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    with pytest.raises(ContentEncodingUnsupportedError):
        Request.of({"headers": {"content-Encoding": encoding}, "body": "{}"})


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_a_body_that_is_said_not_to_be_compressed_is_taken(encoding: str) -> None:
    assert Request.of({"headers": {"Content-Encoding": encoding}, "body": "{}"}).body == b"{}"


def test_a_webhook_without_headers_has_none() -> None:
    assert Request.of({"headers": None}).headers == {}


@pytest.mark.parametrize("is_base64", [False, True])
def test_a_body_may_have_as_many_octets_as_the_limit_and_no_more(is_base64: bool) -> None:  # noqa: FBT001 - a row of the table
    def event(octets: int) -> dict[str, object]:
        body = base64.b64encode(b"a" * octets).decode() if is_base64 else "a" * octets
        return {"body": body, "isBase64Encoded": is_base64}

    assert len(Request.of(event(MAX_BODY)).body) == MAX_BODY
    with pytest.raises(PayloadTooLargeError):
        Request.of(event(MAX_BODY + 1))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"1", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequestError, match="the body is not"):
        json_object(body)


def test_a_json_object_is_read() -> None:
    assert json_object(b'{"a": [1]}') == {"a": [1]}


@pytest.mark.parametrize(("value", "kind"), [("text", str), ("", str), (1, int), (0, int), ({}, dict), ([], list)])
def test_a_member_of_its_kind_is_returned(value: object, kind: type) -> None:
    assert member({"name": value}, "name", kind) == value


@pytest.mark.parametrize(
    ("document", "kind"),
    [({}, str), ({"name": None}, str), ({"name": 1}, str), ({"name": "1"}, int), ({"name": True}, int), ({"name": 1.0}, int)],
)
def test_a_member_that_is_missing_or_of_another_kind_is_malformed(document: dict[str, object], kind: type) -> None:
    with pytest.raises(MalformedRequestError, match="name"):
        member(document, "name", kind)
