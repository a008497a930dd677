"""http.client's response, which reads whatever other clients read: it is shown no header that it stumbles over.

Nor any number but plain digits: Python's ``int()`` takes signs, underscores and prefixes as well.
"""

import http.client
import io
import re

from backchannel.errors import AnswerMalformed, ConnectionReset

MAX_BODY = 4096
"""Octets kept of the body that answers a POST; what comes after them is not read."""

_STATUS_LINE = re.compile(rb"HTTP/[0-9.]+[ \t]+[1-9][0-9]{2}\s")  # RFC 9112, section 4
_INTERIM = re.compile(rb"HTTP/1\.[0-9][ \t]+1(?!01)[0-9][0-9]\s")  # RFC 9110, section 15.2; we ask to switch to no other protocol
_FOLD = re.compile(rb"\r?\n[ \t]+")  # RFC 9112, section 5.2
_FIELD = re.compile(
    rb"^(connection|content-encoding|content-length|content-type|retry-after|transfer-encoding)[ \t]*:(.*)",
    re.IGNORECASE | re.MULTILINE,
)
_FRAMING = {
    b"connection": re.compile(rb"(.*)"),
    b"content-length": re.compile(rb"([0-9]{1,99})(?:[ \t]*,[ \t]*\1)*"),  # it may be repeated (RFC 9110, section 8.6)
    b"transfer-encoding": re.compile(rb"(?:.*,)?[ \t]*(.*)"),  # the last coding frames the body (RFC 9112, section 6.3)
}
"""The headers that tell where a body ends, and what http.client is shown of each."""

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,99}")  # RFC 9112, section 7.1


class TolerantResponse(http.client.HTTPResponse):
    """The parser under http.client is one for e-mail: it takes the first line that is no header for the end of the headers.

    So we find the few headers that matter ourselves. All others, well-formed or not, are passed over.
    """

    kept = b""
    is_whole = False
    chunk_left: int | None
    _fields: dict[bytes, bytes]

    def begin(self) -> None:
        """Read the head of the final response.

        Raises:
            AnswerMalformed: this is no head of a response, or it tells no length that we understand.
            ConnectionReset: the stream ended within it.

        """
        file = self.fp
        status_line, self._fields = _head(file)
        framing = {name: rule.fullmatch(self._fields[name]) for name, rule in _FRAMING.items() if name in self._fields}
        shown = [b"%b: %b\r\n" % (name, match[1]) for name, match in framing.items() if match]
        self.fp = io.BufferedReader(io.BytesIO(b"".join([status_line, *shown, b"\r\n"])))
        try:
            super().begin()
        finally:
            self.fp = file
        if self.status < http.HTTPStatus.OK:
            raise AnswerMalformed("switches to a protocol that nobody asked for")
        if self.length is None and not self.chunked and b"content-length" in self._fields:
            raise AnswerMalformed("a length that is none, or more than one")
        # A coding beside a length: another reader of the stream may see another end of the body (RFC 9112, section 6.3).
        is_doubtful = {b"content-length", b"transfer-encoding"} <= framing.keys()
        self.will_close |= is_doubtful or b"close" in self._fields.get(b"connection", b"").lower()

    def _get_chunk_left(self) -> int | None:
        """Take a line for the end of a chunk, where http.client takes two octets: the line may end in a bare LF."""
        if self.chunk_left == 0:
            if _line(self.fp).strip():
                raise AnswerMalformed("a chunk longer than its size")
            self.chunk_left = None
        return super()._get_chunk_left()  # type: ignore[misc,no-any-return]

    def _read_next_chunk_size(self) -> int:
        size = _line(self.fp).partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size):
            raise AnswerMalformed("a chunk without a size")
        return int(size, 16)

    def field(self, name: bytes) -> str | None:
        """Return the value of ``content-type`` or ``retry-after``."""
        return self._fields[name].decode("latin-1") if name in self._fields else None

    def keep(self, most: int = MAX_BODY) -> None:
        """Read the body up to what we keep of it.

        Raises:
            ConnectionReset: the stream ended within it.

        """
        # A 204 or 304 has no body, whatever its headers say (RFC 9112, section 6.3); http.client would wait for chunks.
        if self.length == 0 and self.chunked:
            return
        self.kept = self.read(most)
        if self.length and len(self.kept) < most:
            raise ConnectionReset("closed within the body")
        self.is_whole = self.isclosed()

    def keep_all(self, most: int) -> None:
        """Read the whole body.

        Raises:
            AnswerMalformed: it is larger than ``most`` octets, or compressed.
            ConnectionReset: the stream ended within it.

        """
        if self._fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise AnswerMalformed("compressed, which nobody asked for")
        if self.length is None or self.length <= most:
            self.keep(most + 1)
        if (self.length or 0) > most or len(self.kept) > most:
            raise AnswerMalformed(f"a body of more than {most} octets")


def _head(file: io.BufferedReader) -> tuple[bytes, dict[bytes, bytes]]:
    """Read up to the end of the final response's headers; return its status line and those of its headers that matter."""
    while True:
        status_line, lines = _line(file), list[bytes]()
        if not _STATUS_LINE.match(status_line):
            raise AnswerMalformed("no status line")
        while (line := _line(file)).rstrip(b"\r\n"):
            lines.append(line)
        if not _INTERIM.match(status_line):
            break
    fields: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(_FOLD.sub(b" ", b"".join(lines))):
        key, text = name.lower(), value.replace(b"\r", b" ").strip()
        if key in fields and key in _FRAMING:
            fields[key] += b", " + text  # lines of one name are one list (RFC 9110, section 5.3)
        else:
            fields.setdefault(key, text)
    return status_line, fields


def _line(file: io.BufferedReader) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise ConnectionReset("closed within the headers")
    return line
