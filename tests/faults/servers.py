"""Relying parties that misbehave, on loopback, over real sockets and real TLS."""

import contextlib
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
TICK = 0.05
"""Seconds between two drops of a drip: shorter than any read timeout of the tests."""


@dataclass
class Peer:
    """The server's end of one connection."""

    socket: socket.socket
    stopped: threading.Event
    requests: list[bytes]

    def read_request(self) -> bytes:
        """Return head and body, or nothing when the client has closed."""
        request = b""
        while b"\r\n\r\n" not in request and (received := self.socket.recv(65_536)):
            request += received
        head, _, body = request.partition(b"\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        while len(body) < sum(lengths) and (received := self.socket.recv(65_536)):
            body += received
        if request:
            self.requests.append(head + b"\r\n\r\n" + body)
        return request

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def end_tls(self) -> None:
        """Send close_notify, and leave TCP as it is."""
        assert isinstance(self.socket, ssl.SSLSocket)
        self.socket.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):  # it would wait for the client's
            self.socket.unwrap()


type Behaviour = Callable[[Peer], None]


@dataclass
class Server:
    """Listens while its context is entered; ``port``, ``connections`` and raw ``requests`` tell what it saw."""

    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    family: socket.AddressFamily = socket.AF_INET
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        host = "::1" if self.family == socket.AF_INET6 else "127.0.0.1"
        self._listener = socket.create_server((host, 0), family=self.family, backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._threads[0].join()
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._peers.append(peer)
                self._threads.append(threading.Thread(target=self._serve, args=(peer,)))
                self._threads[-1].start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(peer)
            if self.tls is not None:
                peer = stack.enter_context(self.tls.wrap_socket(peer, server_side=True))
                self._peers.append(peer)
            self.behaviour(Peer(peer, self._stopped, self.requests))


def answers(*responses: bytes) -> Behaviour:
    """Answer request after request; the last response again and again."""
    script = itertools.chain(responses, itertools.repeat(responses[-1]))

    def serve(peer: Peer) -> None:
        while peer.read_request():
            peer.socket.sendall(next(script))

    return serve


def answers_once(response: bytes) -> Behaviour:
    """Answer one request in whole or in part, and close."""

    def serve(peer: Peer) -> None:
        if peer.read_request():
            peer.socket.sendall(response)

    return serve


def answers_then_ends(response: bytes, end: Callable[[Peer], None]) -> Behaviour:
    """Answer one request; the connection ends when the next one has been read."""

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(response)
        if peer.read_request():
            end(peer)
            peer.stopped.wait()

    return serve


def answers_then_resets(response: bytes) -> Behaviour:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(response)
        peer.socket.recv(1)  # the client has seen the response when the test lets it go on
        peer.reset()

    return serve


def resets(peer: Peer) -> None:
    peer.read_request()
    peer.reset()


def sends_then_resets(response: bytes) -> Behaviour:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(response)
        peer.stopped.wait(TICK)  # a reset takes with it what the client has not read yet
        peer.reset()

    return serve


def hangs(peer: Peer) -> None:
    """Accept, and never say a word."""
    peer.stopped.wait()


def sips(peer: Peer) -> None:
    """Read slowly, and never answer."""
    while not peer.stopped.wait(TICK) and peer.socket.recv(65_536):
        pass


def answers_then_hangs(response: bytes) -> Behaviour:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(response)
        peer.stopped.wait()

    return serve


def drips(at_once: bytes, drops: Iterable[bytes], every: float = TICK) -> Behaviour:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(at_once)
        _drip(peer, drops, every)

    return serve


def drips_a_handshake(peer: Peer) -> None:
    """Answer a ClientHello with the largest of ServerHellos, byte by byte."""
    peer.socket.recv(65_536)
    _drip(peer, itertools.chain([b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"], itertools.repeat(b"\x00")), TICK)


def floods(at_once: bytes, flood: bytes) -> Behaviour:
    """Send without end, as fast as the client reads."""

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(at_once)
        while not peer.stopped.is_set():
            peer.socket.sendall(flood)

    return serve


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        full = False
        while not full:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(TICK)
            try:
                filler.connect(("127.0.0.1", port))
            except TimeoutError:
                full = True
        yield port


def _drip(peer: Peer, drops: Iterable[bytes], every: float) -> None:
    for drop in drops:
        if peer.stopped.wait(every):
            return
        peer.socket.sendall(drop)
