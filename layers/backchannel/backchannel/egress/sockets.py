"""The socket under http.client: every wait on it ends in time, and what a peer can send is bounded."""

import io
import socket
import ssl
from collections.abc import Callable
from typing import Any

from backchannel.errors import AnswerMalformed, DeadlineExceeded, ReadTimeout, RelyingPartyFault

type Clock = Callable[[], float]

MAX_OCTETS = 65_536
"""Received for one response to a POST with all its framing: interim responses, headers, chunk sizes, trailers."""

MAX_RECEIVES = 1024
"""For one response to a POST. Each costs CPU time, however little it brings: a TLS record may hold a single octet."""

TLS_RECORD = 16_384


class Budget:
    """What one request may take, and what it has taken. Times in seconds; ``deadline`` is a time of ``clock``."""

    def __init__(
        self,
        clock: Clock,
        deadline: float,
        read_timeout: float,
        max_octets: int = MAX_OCTETS,
        max_receives: int = MAX_RECEIVES,
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self._read_timeout = read_timeout
        self._max_octets = max_octets
        self._max_receives = max_receives
        self._receives = 0
        self.received = 0
        self.is_closed_by_peer = False
        self.is_over = False
        """Nothing more is to be received: the response has been read, or the stream has ended."""
        self.has_surplus = False
        """The peer sent more than its response."""

    def patience(self, longest: float | None = None) -> float:
        """Return the seconds that the next wait may take: up to ``longest``, or else up to the read timeout."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise DeadlineExceeded(f"{self.received} octets of an answer received")
        return min(self._read_timeout if longest is None else longest, left)

    def silence(self) -> RelyingPartyFault:
        """Return the fault that a wait of ``patience()`` seconds ended with."""
        kind = DeadlineExceeded if self._clock() >= self._deadline else ReadTimeout
        return kind(f"{self.received} octets of an answer received")

    def count(self, octets: int) -> None:
        """Count a receive of so many octets; none is the end of the stream."""
        self._receives += 1
        self.received += octets
        self.is_closed_by_peer = self.is_over = octets == 0
        if self.received > self._max_octets or self._receives > self._max_receives:
            raise AnswerMalformed(f"more than we read: {self.received} octets in {self._receives} pieces")


class BoundedSocket(socket.socket):
    """Keeps to the budget of the request that it serves."""

    budget: Budget

    def sendall(self, data: Any, flags: int = 0) -> None:
        for start in range(0, len(data), TLS_RECORD):  # sendall() on TLS waits anew for each record
            self._be_patient()
            try:
                super().sendall(data[start : start + TLS_RECORD], flags)
            except TimeoutError as error:
                raise self.budget.silence() from error

    def recv_into(self, buffer: Any, *_: Any, **__: Any) -> int:
        if self.budget.is_over:
            return 0
        self._be_patient()
        try:
            octets = super().recv_into(buffer)
        except TimeoutError as error:
            raise self.budget.silence() from error
        self.budget.count(octets)
        return octets

    def makefile(self, *_: Any, **__: Any) -> Any:
        """Return what http.client reads a response from."""
        return ResponseFile(super().makefile("rb", buffering=0), self)

    def _be_patient(self) -> None:
        """Bound the next wait."""
        patience = self.budget.patience()
        if patience != self.gettimeout():  # setting it is a system call, for which other threads get their turn
            self.settimeout(patience)


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """The same over TLS; made by an SSLContext."""


class ResponseFile(io.BufferedReader):
    """Looks for a surplus when http.client closes it, which is at the end of a response."""

    def __init__(self, raw: io.RawIOBase, sock: BoundedSocket) -> None:
        super().__init__(raw, TLS_RECORD)
        self._socket = sock

    def close(self) -> None:
        if not self.closed:
            self._socket.budget.is_over = True  # peek() is to see what was received, and to receive nothing
            pending = self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0
            self._socket.budget.has_surplus = pending > 0 or bool(self.peek())
        super().close()
