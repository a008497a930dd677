import contextlib
import http.client
import io
import itertools
from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.egress import answers
from backchannel.egress.answers import MAX_ANSWER, MAX_BODY, HttpAnswer
from backchannel.errors import AnswerMalformed, ConnectionReset, RelyingPartyFault

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"0" * MAX_BODY

# RFC 9112, sections 7.1 and 7.1.2; RFC 9110, section 8.6
RFC_CHUNKS = b"4\r\nWiki\r\n5;a=b\r\npedia\r\nE \t;c\r\n in\r\n\r\nchunks.\r\n0\r\nExpires: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n"
RFC_CHUNKED = b"Wikipedia in\r\n\r\nchunks."

WHOLE: dict[str, tuple[bytes, HttpAnswer]] = {
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", HttpAnswer(204, None, None, b"", reusable=True)),
    "no body, whatever its length": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        HttpAnswer(304, None, None, b"", reusable=False),
    ),
    "no body, of length 0": (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        HttpAnswer(204, None, None, b"", reusable=True),
    ),
    "no body, chunked": (
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HttpAnswer(204, None, None, b"", reusable=False),
    ),
    "length": (OK + b"content-LENGTH:2\r\n\r\nhi", HttpAnswer(200, None, None, b"hi", reusable=True)),
    "the same length twice": (
        OK + b"Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi",
        HttpAnswer(200, None, None, b"hi", reusable=True),
    ),
    "the longest body": (OK + b"Content-Length: 4096\r\n\r\n" + LONG, HttpAnswer(200, None, None, LONG, reusable=True)),
    "a longer body": (OK + b"Content-Length: 4097\r\n\r\n" + LONG + b"1", HttpAnswer(200, None, None, LONG, reusable=False)),
    "chunks": (CHUNKED + RFC_CHUNKS, HttpAnswer(200, None, None, RFC_CHUNKED, reusable=True)),
    "chunks that are too long": (CHUNKED + b"2000\r\n" + LONG * 2, HttpAnswer(200, None, None, LONG, reusable=False)),
    "chunks, closed within the trailers": (CHUNKED + b"2\r\nhi\r\n0\r\n", HttpAnswer(200, None, None, b"hi", reusable=False)),
    "chunks and a length": (
        OK + b"Content-Length: 1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        HttpAnswer(200, None, None, b"hi", reusable=False),
    ),
    "chunks of another coding": (
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        HttpAnswer(200, None, None, b"hi", reusable=True),
    ),
    "another coding alone": (
        OK + b"Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nhi",
        HttpAnswer(200, None, None, b"hi", reusable=False),
    ),
    "until closed": (OK + b"\r\nbye", HttpAnswer(200, None, None, b"bye", reusable=False)),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", HttpAnswer(200, None, None, b"", reusable=False)),
    "Connection: close": (
        OK + b"Connection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n",
        HttpAnswer(200, None, None, b"", reusable=False),
    ),
    "no reason phrase": (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", HttpAnswer(404, None, None, b"", reusable=True)),
    "line feeds alone": (b"HTTP/1.1 404 \nContent-Length: 2\n\nhi", HttpAnswer(404, None, None, b"hi", reusable=True)),
    "headers that count": (
        b"HTTP/1.1 503 S\r\nretry-after: \t120 \r\nRetry-After: 9\r\nContent-Type:text/\xfc\r\nX:\r\nContent-Length: 0\r\n\r\n",
        HttpAnswer(503, "120", "text/ü", b"", reusable=True),
    ),
    "a folded header": (
        OK + b"Content-Type: text/html;\r\n \tcharset=utf-8\r\nContent-Length:\r\n 2\r\n\r\nhi",
        HttpAnswer(200, None, "text/html; charset=utf-8", b"hi", reusable=True),
    ),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        HttpAnswer(200, None, None, b"", reusable=True),
    ),
}

BROKEN: dict[str, tuple[bytes, type[RelyingPartyFault]]] = {
    "nothing": (b"", ConnectionReset),
    "closed within the status line": (b"HTTP/1.1 20", ConnectionReset),
    "closed within the headers": (OK + b"Content-Length: 0\r\n", ConnectionReset),
    "closed within the body": (OK + b"Content-Length: 2\r\n\r\nh", ConnectionReset),
    "closed within a chunk": (CHUNKED + b"2\r\nh", ConnectionReset),
    "closed between chunks": (CHUNKED + b"2\r\nhi\r\n", ConnectionReset),
    "closed after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n", ConnectionReset),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", AnswerMalformed),
    "another version": (b"HTTP/2.0 200 OK\r\n\r\n", AnswerMalformed),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", AnswerMalformed),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", AnswerMalformed),
    "another protocol from here on": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", AnswerMalformed),
    "a header without a colon": (OK + b"Content-Length\r\n\r\n", AnswerMalformed),
    "a header without a name": (OK + b": 0\r\n\r\n", AnswerMalformed),
    "a space before the colon": (OK + b"Content-Length : 0\r\n\r\n", AnswerMalformed),
    "a space before the first header": (OK + b" X: a\r\nContent-Length: 0\r\n\r\n", AnswerMalformed),
    "a carriage return within a header": (OK + b"X: a\rContent-Length: 0\r\n\r\n", AnswerMalformed),
    "a null within a header": (OK + b"X: \0\r\nContent-Length: 0\r\n\r\n", AnswerMalformed),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 1\r\n\r\nhi", AnswerMalformed),
    "two lengths in one": (OK + b"Content-Length: 2, 1\r\n\r\nhi", AnswerMalformed),
    "a negative length": (OK + b"Content-Length: -1\r\n\r\nhi", AnswerMalformed),
    "a length that is no number": (OK + b"Content-Length: two\r\n\r\nhi", AnswerMalformed),
    "an empty length": (OK + b"Content-Length:\r\n\r\nhi", AnswerMalformed),
    "a length of a thousand digits": (OK + b"Content-Length: " + b"9" * 9999 + b"\r\n\r\nhi", AnswerMalformed),
    "a negative chunk": (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
    "a chunk without a size": (CHUNKED + b";a\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
    "a chunk longer than its size": (CHUNKED + b"1\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
}


class Stream:
    """Gives out octets in pieces of these sizes, again and again; no more after the end than one look."""

    def __init__(self, octets: bytes, sizes: Iterable[int] = (MAX_ANSWER,)) -> None:
        self._octets = octets
        self._sizes = itertools.cycle(sizes)
        self.ended = False

    def receive(self) -> bytes:
        assert not self.ended
        size = next(self._sizes)
        received, self._octets = self._octets[:size], self._octets[size:]
        self.ended = not received
        return received


@pytest.mark.parametrize("size", [1, 2, 3, 7, MAX_ANSWER])
@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_what_the_rfc_says(name: str, size: int) -> None:
    octets, expected = WHOLE[name]

    assert answers.read(Stream(octets, [size]).receive) == expected


@pytest.mark.parametrize("size", [1, MAX_ANSWER])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_is_a_fault(name: str, size: int) -> None:
    octets, fault = BROKEN[name]

    with pytest.raises(RelyingPartyFault) as raised:
        answers.read(Stream(octets, [size]).receive)

    assert raised.type is fault


def test_a_connection_with_more_on_it_than_the_answer_is_not_used_again() -> None:
    answer = answers.read(Stream(OK + b"Content-Length: 2\r\n\r\nhi" + OK).receive)

    assert answer == HttpAnswer(200, None, None, b"hi", reusable=False)


def test_nothing_is_received_after_the_end_of_an_answer() -> None:
    pieces = iter([OK + b"Content-Length: 2\r\n\r\nhi"])

    assert answers.read(lambda: next(pieces)).reusable


@pytest.mark.parametrize(
    "start", [b"", OK, OK + b"X: ", CHUNKED, CHUNKED + b"1;", CHUNKED + b"0\r\n", b"HTTP/1.1 100 C\r\n"], ids=repr
)
@pytest.mark.parametrize("flood", [b"0", b"0\r\n", b"X: 0\r\n"], ids=repr)
def test_no_more_is_received_than_the_largest_answer(start: bytes, flood: bytes) -> None:
    received = 0

    def receive() -> bytes:
        nonlocal received
        octets = flood * 999 if received else start + flood * 999
        received += len(octets)
        return octets

    with contextlib.suppress(AnswerMalformed):
        answers.read(receive)

    assert received < MAX_ANSWER + 2 * 6 * 999


# --- Against http.client --------------------------------------------------------------------------------------------

names = st.text("!#$%&'*+.^_`|~-abcxyzABCXYZ0129", min_size=1, max_size=9).filter(
    lambda name: name.lower() not in {"connection", "content-length", "transfer-encoding"}
)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=20)
spaces = st.sampled_from(["", " ", "\t", "  "])
spellings = st.sampled_from([str.lower, str.upper, str.title])
statuses = st.integers(200, 999) | st.sampled_from([200, 204, 304, 400, 503])
bodies = st.binary(max_size=99) | st.integers(MAX_BODY - 2, MAX_BODY + 2).map(bytes)


@st.composite
def fields(draw: st.DrawFn) -> list[str]:
    """Header lines that say nothing about the framing."""
    known = st.tuples(spellings, st.sampled_from(["Retry-After", "Content-Type"])).map(lambda pair: pair[0](pair[1]))
    pairs = draw(st.lists(st.tuples(names | known, spaces, values), max_size=9))
    return [f"{name}:{space}{value}" for name, space, value in pairs]


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    """Cut a body into chunks, with extensions and trailers."""
    coded = b""
    while body:
        size = draw(st.integers(1, len(body)))
        extension = draw(st.sampled_from([b"", b";a", b' ; a="b"']))
        coded += b"%x%b\r\n%b\r\n" % (size, extension, body[:size])
        body = body[size:]
    trailers = draw(st.sampled_from([b"", b"Expires: 0\r\n", b"A: b\r\nC: d\r\n"]))
    return coded + b"0\r\n" + trailers + b"\r\n"


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    status = draw(statuses)
    reason = draw(values)
    headers = draw(fields())
    body = draw(bodies)
    framing = draw(st.sampled_from(["length", "chunked", "closed"]))
    if status in {204, 304}:
        framing, body = "closed", b""
    if framing == "length":
        headers.append(f"{draw(spellings)('Content-Length')}: {len(body)}")
    if framing == "chunked":
        headers.append(f"{draw(spellings)('Transfer-Encoding')}: {draw(spellings)('chunked')}")
        body = draw(chunks(body))
    if draw(st.booleans()):
        headers.append(f"Connection: {draw(st.sampled_from(['close', 'Close', 'keep-alive']))}")
    headers = draw(st.permutations(headers))
    minor = draw(st.sampled_from("0111"))
    if minor == "0":
        headers = [header for header in headers if header != "Connection: keep-alive"]  # which we do not ask for
    interim = draw(st.sampled_from(["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 C\r\nLink: </>\r\n\r\n"]))
    head = "".join(f"{line}\r\n" for line in [f"HTTP/1.{minor} {status} {reason}", *headers, ""])
    return (interim + head).encode("latin-1") + body


def by_http_client(octets: bytes) -> HttpAnswer:
    """Read an answer as http.client does."""

    class Socket:
        def makefile(self, _: str) -> io.BufferedReader:
            return cast("io.BufferedReader", io.BytesIO(octets))

    response = http.client.HTTPResponse(cast("Any", Socket()), method="POST")
    response.begin()
    body = response.read(MAX_BODY)
    reusable = response.isclosed() and not response.will_close
    retry_after, content_type = (
        None if value is None else value.strip(" \t")
        for value in (response.headers["Retry-After"], response.headers["Content-Type"])
    )
    return HttpAnswer(response.status, retry_after, content_type, body, reusable)


@given(well_formed(), st.lists(st.integers(1, 9999), min_size=1))
def test_a_well_formed_answer_is_what_http_client_makes_of_it_however_it_is_cut(octets: bytes, sizes: list[int]) -> None:
    assert answers.read(Stream(octets, sizes).receive) == by_http_client(octets)


pieces = st.sampled_from(
    [OK, b"HTTP/1.1 100 C\r\n", b"HTTP/1.0 ", b"200", b"\r\n", b"\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n"]
)


@given(st.lists(pieces | st.binary(max_size=9)).map(b"".join), st.lists(st.integers(1, 99), min_size=1))
def test_arbitrary_octets_are_an_answer_or_a_fault(octets: bytes, sizes: list[int]) -> None:
    with contextlib.suppress(RelyingPartyFault):
        answer = answers.read(Stream(octets, sizes).receive)

        assert 200 <= answer.status <= 999
        assert len(answer.body) <= MAX_BODY
