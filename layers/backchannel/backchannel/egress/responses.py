"""http.client's response, which reads whatever other clients read: it is shown no header that it stumbles over."""

import http.client
import io
import re

from backchannel.errors import AnswerMalformed, ConnectionReset

MAX_BODY = 4096
"""Octets kept of a body; what comes after them is not read."""

_INTERIM = re.compile(rb"HTTP/1\.[0-9][ \t]+1(?!01)[0-9][0-9]\s")  # RFC 9110, section 15.2; we ask to switch to no other protocol
_FOLD = re.compile(rb"\r?\n[ \t]+")  # RFC 9112, section 5.2
_FIELD = re.compile(
    rb"^(connection|content-length|content-type|retry-after|transfer-encoding)[ \t]*:(.*)", re.IGNORECASE | re.MULTILINE
)
_FRAMING = (b"connection", b"content-length", b"transfer-encoding")


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
        shown = [b"%b: %b\r\n" % (name, self._fields[name]) for name in _FRAMING if name in self._fields]
        self.fp = io.BufferedReader(io.BytesIO(b"".join([status_line, *shown, b"\r\n"])))
        try:
            super().begin()
        finally:
            self.fp = file
        if self.status < http.HTTPStatus.OK:
            raise AnswerMalformed("switches to a protocol that nobody asked for")
        if self.length is None and not self.chunked and b"content-length" in self._fields:
            raise AnswerMalformed("a length that is none")

    def _get_chunk_left(self) -> int | None:
        """Take a line for the end of a chunk, where http.client takes two octets: the line may end in a bare LF."""
        if self.chunk_left == 0:
            if _line(self.fp).strip():
                raise AnswerMalformed("a chunk longer than its size")
            self.chunk_left = None
        return super()._get_chunk_left()  # type: ignore[misc,no-any-return]

    def field(self, name: bytes) -> str | None:
        """Return the value of ``content-type`` or ``retry-after``."""
        return self._fields[name].decode("latin-1") if name in self._fields else None

    def keep(self) -> None:
        """Read the body up to what we keep of it.

        Raises:
            ConnectionReset: the stream ended within it.

        """
        # A 204 or 304 has no body, whatever its headers say (RFC 9112, section 6.3); http.client would wait for chunks.
        if self.length == 0 and self.chunked:
            return
        self.kept = self.read(MAX_BODY)
        if self.length and len(self.kept) < MAX_BODY:
            raise ConnectionReset("closed within the body")
        self.is_whole = self.isclosed()


def _head(file: io.BufferedReader) -> tuple[bytes, dict[bytes, bytes]]:
    """Read up to the end of the final response's headers; return its status line and those of its headers that matter."""
    while True:
        status_line, lines = _line(file), list[bytes]()
        if not status_line.startswith(b"HTTP/"):
            raise AnswerMalformed("no status line")
        while (line := _line(file)).rstrip(b"\r\n"):
            lines.append(line)
        if not _INTERIM.match(status_line):
            break
    fields: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(_FOLD.sub(b" ", b"".join(lines))):
        key, text = name.lower(), value.replace(b"\r", b" ").strip()
        if key == b"transfer-encoding":
            fields[key] = text.rpartition(b",")[2].strip()  # the last coding frames the body (RFC 9112, section 6.3)
        elif key == b"content-length":
            fields.setdefault(key, text.partition(b",")[0])  # the same length may be repeated (RFC 9110, section 8.6)
        else:
            fields.setdefault(key, text)
    return status_line, fields


def _line(file: io.BufferedReader) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise ConnectionReset("closed within the headers")
    return line
