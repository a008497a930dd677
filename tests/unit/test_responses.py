import contextlib
import http.client
import io
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.egress.connections import POST, Connection, Key, Limits
from backchannel.egress.names import Resolver
from backchannel.egress.responses import MAX_BODY
from backchannel.egress.sockets import MAX_OCTETS, MAX_RECEIVES, Budget, ResponseFile
from backchannel.errors import AnswerMalformed, ConnectionReset, RelyingPartyFault

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"0" * MAX_BODY


class Read(NamedTuple):
    """What was read of a response, and whether its connection is good for another."""

    status: int
    retry_after: str | None
    content_type: str | None
    body: bytes
    reusable: bool


# RFC 9112, sections 7.1 and 7.1.2; RFC 9110, section 8.6
RFC_CHUNKS = b"4\r\nWiki\r\n5;a=b\r\npedia\r\nE \t;c\r\n in\r\n\r\nchunks.\r\n0\r\nExpires: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n"
RFC_CHUNKED = b"Wikipedia in\r\n\r\nchunks."

WHOLE: dict[str, tuple[bytes, Read]] = {
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", Read(204, None, None, b"", reusable=True)),
    "no body, whatever its length": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        Read(304, None, None, b"", reusable=True),
    ),
    "no body, of length 0": (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        Read(204, None, None, b"", reusable=True),
    ),
    "no body, chunked": (
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Read(204, None, None, b"", reusable=False),
    ),
    "length": (OK + b"content-LENGTH:2\r\n\r\nhi", Read(200, None, None, b"hi", reusable=True)),
    "the same length twice": (
        OK + b"Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi",
        Read(200, None, None, b"hi", reusable=True),
    ),
    "the longest body": (OK + b"Content-Length: 4096\r\n\r\n" + LONG, Read(200, None, None, LONG, reusable=True)),
    "a longer body": (OK + b"Content-Length: 4097\r\n\r\n" + LONG + b"1", Read(200, None, None, LONG, reusable=False)),
    "chunks": (CHUNKED + RFC_CHUNKS, Read(200, None, None, RFC_CHUNKED, reusable=True)),
    "chunks with bare LF": (
        CHUNKED.replace(b"\r\n", b"\n") + RFC_CHUNKS.replace(b"in\r\n\r\nchunks", b"in....chunks").replace(b"\r\n", b"\n"),
        Read(200, None, None, b"Wikipedia in....chunks.", reusable=True),
    ),
    "chunks that are too long": (CHUNKED + b"2000\r\n" + LONG * 2, Read(200, None, None, LONG, reusable=False)),
    "chunks, closed within the trailers": (CHUNKED + b"2\r\nhi\r\n0\r\n", Read(200, None, None, b"hi", reusable=False)),
    "chunks, closed within a trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nX: ", Read(200, None, None, b"hi", reusable=False)),
    "chunks and a length": (
        OK + b"Content-Length: 1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Read(200, None, None, b"hi", reusable=False),
    ),
    "chunks and two lengths": (
        OK + b"Content-Length: 1, 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Read(200, None, None, b"hi", reusable=False),
    ),
    "chunks without a coding": (
        OK + b"Transfer-Encoding: identity, chunked \r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Read(200, None, None, b"hi", reusable=True),
    ),
    "chunks of another coding": (
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Read(200, None, None, b"hi", reusable=True),
    ),
    "another coding alone": (
        OK + b"Transfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
        Read(200, None, None, b"hi", reusable=False),
    ),
    "until closed": (OK + b"\r\nbye", Read(200, None, None, b"bye", reusable=False)),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Read(200, None, None, b"", reusable=False)),
    "Connection: close": (
        OK + b"Connection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n",
        Read(200, None, None, b"", reusable=False),
    ),
    "Connection: close in a line of its own": (
        OK + b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        Read(200, None, None, b"", reusable=False),
    ),
    "HTTP/1.0, keep-alive": (
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
        Read(200, None, None, b"", reusable=True),
    ),
    "HTTP/1.0, keep-alive and close": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        Read(200, None, None, b"", reusable=False),
    ),
    "no reason phrase": (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", Read(404, None, None, b"", reusable=True)),
    "line feeds alone": (b"HTTP/1.1 404 \nContent-Length: 2\n\nhi", Read(404, None, None, b"hi", reusable=True)),
    "headers that count": (
        b"HTTP/1.1 503 S\r\nretry-after: \t120 \r\nRetry-After: 9\r\nContent-Type:text/\xfc\r\nX:\r\nContent-Length: 0\r\n\r\n",
        Read(503, "120", "text/ü", b"", reusable=True),
    ),
    "a folded header": (
        OK + b"Content-Type: text/html;\r\n \tcharset=utf-8\r\nContent-Length:\r\n 2\r\n\r\nhi",
        Read(200, None, "text/html; charset=utf-8", b"hi", reusable=True),
    ),
    "a header without a colon": (OK + b"nonsense\r\n" + TWO, Read(200, None, None, b"hi", reusable=True)),
    "a header without a name": (OK + b": 0\r\n" + TWO, Read(200, None, None, b"hi", reusable=True)),
    "a header with a name that is none": (OK + b"X Y\xfc(\x01): 0\r\n" + TWO, Read(200, None, None, b"hi", reusable=True)),
    "a space before the colon": (OK + b"Content-Length : 2\r\n\r\nhi", Read(200, None, None, b"hi", reusable=True)),
    "a space before the first header": (OK + b" X: a\r\n" + TWO, Read(200, None, None, b"hi", reusable=True)),
    "a carriage return within a header": (
        OK + b"Content-Type: a\rContent-Length: 9\r\n" + TWO,
        Read(200, None, "a Content-Length: 9", b"hi", reusable=True),
    ),
    "a null within a header": (
        OK + b"X: \0\r\nContent-Type: a\0b\r\n" + TWO,
        Read(200, None, "a\0b", b"hi", reusable=True),
    ),
    "the head of a message with parts": (
        OK + b"Content-Type: multipart/mixed; boundary=a\r\n\t, b\r\n--a\r\n" + TWO,
        Read(200, None, "multipart/mixed; boundary=a , b", b"hi", reusable=True),
    ),
    "five hundred headers": (OK + b"X-Y: 0\r\n" * 500 + TWO, Read(200, None, None, b"hi", reusable=True)),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        Read(200, None, None, b"", reusable=True),
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
    "a status with an underscore": (b"HTTP/1.1 2_00 OK\r\n\r\n", AnswerMalformed),
    "a status with a sign": (b"HTTP/1.1 +200 OK\r\n\r\n", AnswerMalformed),
    "a status with a leading zero": (b"HTTP/1.1 0200 OK\r\n\r\n", AnswerMalformed),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 1\r\n\r\nhi", AnswerMalformed),
    "two lengths in one": (OK + b"Content-Length: 2, 1\r\n\r\nhi", AnswerMalformed),
    "three lengths": (OK + b"Content-Length: 2, 1\r\nContent-Length: 3\r\n\r\nhi", AnswerMalformed),
    "a shorter length after a longer one": (OK + b"Content-Length: 6\r\nContent-Length: 5\r\n\r\nhello!", AnswerMalformed),
    "a length that begins with another": (OK + b"Content-Length: 2, 22\r\n\r\nhi", AnswerMalformed),
    "a length with an underscore": (OK + b"Content-Length: 1_0\r\n\r\n0123456789", AnswerMalformed),
    "a length with a sign": (OK + b"Content-Length: +2\r\n\r\nhi", AnswerMalformed),
    "a negative length": (OK + b"Content-Length: -1\r\n\r\nhi", AnswerMalformed),
    "a length that is no number": (OK + b"Content-Length: two\r\n\r\nhi", AnswerMalformed),
    "an empty length": (OK + b"Content-Length:\r\n\r\nhi", AnswerMalformed),
    "a length of a thousand digits": (OK + b"Content-Length: " + b"9" * 9999 + b"\r\n\r\nhi", AnswerMalformed),
    "a negative chunk": (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
    "a chunk of size -1": (CHUNKED + b"-1\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
    "a chunk of size -0": (CHUNKED + b"2\r\nhi\r\n-0\r\n\r\n", AnswerMalformed),
    "a chunk size with a prefix": (CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
    "a chunk size with an underscore": (CHUNKED + b"0_2\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
    "closed within a chunk size": (CHUNKED + b"2", ConnectionReset),
    "a chunk without a size": (CHUNKED + b";a\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
    "a chunk longer than its size": (CHUNKED + b"1\r\nhi\r\n0\r\n\r\n", AnswerMalformed),
}


class Stream:
    """Gives out octets in pieces of these sizes, again and again; no more after the end than one look."""

    def __init__(self, octets: bytes, sizes: Iterable[int] = (MAX_OCTETS,)) -> None:
        self._octets = octets
        self._sizes = itertools.cycle(sizes)
        self._ended = False

    def receive(self, most: int) -> bytes:
        assert not self._ended
        size = min(next(self._sizes), most)
        received, self._octets = self._octets[:size], self._octets[size:]
        self._ended = not received
        return received


class Receiver(io.RawIOBase):
    """As a BoundedSocket's, without a socket."""

    def __init__(self, receive: Callable[[int], bytes], peer: "Peer") -> None:
        self._receive = receive
        self._peer = peer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        budget = self._peer.budget
        if budget.is_over:
            return 0
        octets = self._receive(len(buffer))
        buffer[: len(octets)] = octets
        budget.count(len(octets))
        return len(octets)


class Peer:
    """Stands in for a BoundedSocket."""

    budget: Budget

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return ResponseFile(Receiver(self._receive, self), cast("Any", self))

    def settimeout(self, _: float) -> None: ...

    def sendall(self, _: bytes) -> None: ...

    def close(self) -> None: ...


def read(receive: Callable[[int], bytes]) -> Read:
    """Make a connection read a response to its POST."""
    limits = Limits(lambda: 0.0, 2.0, 5.0, cast("Resolver", None))
    connection = Connection(Key("https", "rp.example", 443, (), None), limits)
    connection.sock = cast("Any", Peer(receive))
    response = connection.exchange(POST, "/", b"logout_token=a.b.c", 8.0)
    retry_after, content_type = response.field(b"retry-after"), response.field(b"content-type")
    return Read(response.status, retry_after, content_type, response.kept, connection.is_reusable)


@pytest.mark.parametrize("size", [1, 2, 3, 7, MAX_OCTETS])
@pytest.mark.parametrize("name", WHOLE)
def test_a_response_is_read_however_it_is_cut(name: str, size: int) -> None:
    octets, expected = WHOLE[name]
    size = max(size, len(octets) // MAX_RECEIVES + 1)

    assert read(Stream(octets, [size]).receive) == expected


@pytest.mark.parametrize("size", [1, MAX_OCTETS])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_response_is_a_fault(name: str, size: int) -> None:
    octets, fault = BROKEN[name]

    with pytest.raises(RelyingPartyFault) as raised:
        read(Stream(octets, [size]).receive)

    assert raised.type is fault


def test_a_connection_with_more_on_it_than_the_response_is_not_used_again() -> None:
    response = read(Stream(OK + b"Content-Length: 2\r\n\r\nhi" + OK).receive)

    assert response == Read(200, None, None, b"hi", reusable=False)


def test_nothing_is_received_after_the_end_of_a_response() -> None:
    pieces = iter([OK + TWO])

    assert read(lambda _: next(pieces)).reusable


@pytest.mark.parametrize(
    "start", [b"", OK, OK + b"X: ", CHUNKED, CHUNKED + b"1;", CHUNKED + b"0\r\n", b"HTTP/1.1 100 C\r\n"], ids=repr
)
@pytest.mark.parametrize("flood", [b"0", b"0\r\n", b"X: 0\r\n"], ids=repr)
def test_no_more_is_received_than_the_largest_response(start: bytes, flood: bytes) -> None:
    received = 0

    def receive(most: int) -> bytes:
        nonlocal received
        octets = (flood * 999 if received else start + flood * 999)[:most]
        received += len(octets)
        return octets

    with contextlib.suppress(AnswerMalformed):
        read(receive)

    assert received < MAX_OCTETS + 6 * 999


@pytest.mark.parametrize("start", [b"", OK + b"X: ", CHUNKED, OK + b"\r\n"], ids=repr)
def test_no_more_is_received_in_small_pieces_than_in_a_thousand(start: bytes) -> None:
    receives = 0
    octets = itertools.chain(start, itertools.repeat(b"0"[0]))

    def receive(_: int) -> bytes:
        nonlocal receives
        receives += 1
        return bytes([next(octets)])

    with pytest.raises(AnswerMalformed):
        read(receive)

    assert receives == MAX_RECEIVES + 1


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


def by_http_client(octets: bytes) -> Read:
    """Read a response as http.client does."""

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
    return Read(response.status, retry_after, content_type, body, reusable)


@given(well_formed(), st.lists(st.integers(1, 9999), min_size=1))
def test_a_well_formed_response_is_what_http_client_makes_of_it_however_it_is_cut(octets: bytes, sizes: list[int]) -> None:
    sizes = [max(size, len(octets) // MAX_RECEIVES + 1) for size in sizes]

    assert read(Stream(octets, sizes).receive) == by_http_client(octets)


pieces = st.sampled_from(
    [
        OK,
        b"Content-Type: multipart/mixed; boundary=",
        b"Connection : ",
        b"-",
        CHUNKED,
        b"-1\r\n",
        b"0\r\n",
        b"1_0",
        b"HTTP/1.1 100 C\r\n",
        b"HTTP/1.0 ",
        b"200",
        b"\r\n",
        b"\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
    ]
)


@given(st.lists(pieces | st.binary(max_size=9)).map(b"".join), st.lists(st.integers(1, 99), min_size=1))
def test_arbitrary_octets_are_a_response_or_a_fault(octets: bytes, sizes: list[int]) -> None:
    with contextlib.suppress(RelyingPartyFault):
        response = read(Stream(octets, sizes).receive)

        assert 200 <= response.status <= 999
        assert len(response.body) <= MAX_BODY
