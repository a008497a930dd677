"""One HTTP/1.1 answer from a byte stream (RFC 9112), bounded in size whatever the peer sends."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from backchannel.errors import AnswerMalformed, ConnectionReset

MAX_BODY = 4096
"""Octets kept of a body; what comes after them is not read."""

MAX_ANSWER = 65_536
"""Octets of one answer with all its framing: interim answers, header section, chunk sizes, trailers."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})(?:[ \t][^\r\n]*)?\r?\n")  # section 4
_SECTION_END = re.compile(rb"(?:^|\n)\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r]*)\r?")  # section 5; RFC 9110, section 5.5
_FOLD = re.compile(rb"\r?\n[ \t]+")  # section 5.2
_LENGTH = re.compile(rb"[0-9]{1,99}")  # RFC 9110, section 8.6
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,99})[ \t]*(?:;[^\n]*)?\r?\n")  # section 7.1

_SWITCHING_PROTOCOLS = 101
_FINAL = 200
_WITHOUT_BODY = {204, 304}

type Receive = Callable[[], bytes]
"""Returns some more octets, none at the end of the stream."""

type _Fields = Mapping[bytes, list[bytes]]
"""The values by the lower-case name, in their order."""


class HttpAnswer(NamedTuple):
    """A final answer; ``reusable``: the connection is good for another request."""

    status: int
    retry_after: str | None
    content_type: str | None
    body: bytes
    reusable: bool


def read(receive: Receive) -> HttpAnswer:
    """Read the final answer to a POST; interim ones are passed over (RFC 9110, section 15.2).

    Raises:
        AnswerMalformed: this is not HTTP/1, or it is larger than MAX_ANSWER.
        ConnectionReset: the stream ended within the answer.

    """
    octets = _Octets(receive)
    status, minor, fields = _head(octets)
    while status < _FINAL:
        if status == _SWITCHING_PROTOCOLS:
            raise AnswerMalformed("switches to a protocol that nobody asked for")
        status, minor, fields = _head(octets)
    body, delimited = _body(octets, status, fields)
    # Section 9.3. What is left answers no request of ours.
    reusable = delimited and minor > 0 and not octets.left and b"close" not in _list(fields.get(b"connection"))
    return HttpAnswer(status, _first(fields.get(b"retry-after")), _first(fields.get(b"content-type")), body, reusable)


class _Octets:
    """The stream, some of it received ahead."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._received = 0
        self.left = b""

    def more(self) -> bool:
        """Receive; False at the end of the stream."""
        if self._received > MAX_ANSWER:
            raise AnswerMalformed("larger than we read")
        octets = self._receive()
        self._received += len(octets)
        self.left += octets
        return bool(octets)

    def line(self) -> bytes:
        """Take a line with its end, which may be a single LF (section 2.2)."""
        while (end := self.left.find(b"\n") + 1) == 0:
            self._need("closed within a line")
        return self._take(end)

    def section(self) -> bytes:
        """Take lines up to an empty one, which goes with them."""
        searched = 0
        while (match := _SECTION_END.search(self.left, searched)) is None:
            searched = max(0, len(self.left) - 2)
            self._need("closed within the headers")
        return self._take(match.end())

    def exactly(self, count: int) -> bytes:
        while len(self.left) < count:
            self._need("closed within the body")
        return self._take(count)

    def _need(self, otherwise: str) -> None:
        if not self.more():
            raise ConnectionReset(otherwise)

    def _take(self, count: int) -> bytes:
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def _head(octets: _Octets) -> tuple[int, int, _Fields]:
    """Take the status line and the header section; return the status code, the minor version and the fields."""
    line = _STATUS_LINE.fullmatch(octets.line())
    if line is None:
        raise AnswerMalformed("no status line of HTTP/1")
    fields: dict[bytes, list[bytes]] = {}
    for text in _FOLD.sub(b" ", octets.section()).split(b"\n")[:-2]:  # without the empty line
        field = _FIELD.fullmatch(text)
        if field is None:
            raise AnswerMalformed("a header that is none")
        fields.setdefault(field[1].lower(), []).append(field[2])
    return int(line[2]), int(line[1]), fields


def _body(octets: _Octets, status: int, fields: _Fields) -> tuple[bytes, bool]:
    """Take the body (section 6.3); return what is kept of it, and whether its end was reached and is beyond doubt."""
    codings = _list(fields.get(b"transfer-encoding"))
    lengths = _list(fields.get(b"content-length"))
    if status in _WITHOUT_BODY:
        return b"", not codings and set(lengths) <= {b"0"}
    if codings:
        if codings[-1] != b"chunked":
            return _until_closed(octets), False
        body, whole = _chunks(octets)
        return body, whole and not lengths
    if lengths:
        length = _length(lengths)
        return octets.exactly(min(length, MAX_BODY)), length <= MAX_BODY
    return _until_closed(octets), False


def _length(lengths: list[bytes]) -> int:
    if len(set(lengths)) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise AnswerMalformed("no length, or more than one")
    return int(lengths[0])


def _until_closed(octets: _Octets) -> bytes:
    while len(octets.left) < MAX_BODY and octets.more():
        pass
    return octets.left[:MAX_BODY]


def _chunks(octets: _Octets) -> tuple[bytes, bool]:
    """Take a chunked body with its trailers (section 7.1)."""
    body = b""
    while (size := _chunk_size(octets.line())) > 0:
        body += octets.exactly(min(size, MAX_BODY - len(body)))
        if len(body) == MAX_BODY:
            return body, False
        if octets.line().strip(b"\r\n"):
            raise AnswerMalformed("a chunk longer than its size")
    try:
        octets.section()
    except ConnectionReset:  # the last chunk alone makes the body whole (section 8)
        return body, False
    return body, True


def _chunk_size(line: bytes) -> int:
    match = _CHUNK_SIZE.fullmatch(line)
    if match is None:
        raise AnswerMalformed("a chunk without a size")
    return int(match[1], 16)


def _list(values: list[bytes] | None) -> list[bytes]:
    """Return the members of a list-based field, in lower case (RFC 9110, section 5.6.1)."""
    return [member.strip(b" \t").lower() for member in b",".join(values).split(b",")] if values else []


def _first(values: list[bytes] | None) -> str | None:
    return values[0].strip(b" \t").decode("latin-1") if values else None
