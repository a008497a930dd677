"""One connection to a relying party: to vetted addresses only, and bounded in time and size whatever the peer does."""

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any, NamedTuple

from urllib3.connection import HTTPConnection, HTTPSConnection

from backchannel.egress import answers
from backchannel.egress.addresses import Address, is_literal, vet
from backchannel.errors import (
    AddressForbidden,
    ConnectFailed,
    ConnectionReset,
    ConnectTimeout,
    DeadlineExceeded,
    DnsFailure,
    ReadTimeout,
    RelyingPartyFault,
    TlsFailed,
    TlsTimeout,
)

type Clock = Callable[[], float]
type Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""As ``socket.getaddrinfo``."""

MAX_DIALLED = 4
"""Addresses tried, each with its share of the connect timeout. Vetted are all that the resolver gave."""

MAX_LOOKUPS = 128
"""Names looked up at once. A POST gives its name up after 8 s, the system's resolver may hang on it for 30 s (three servers, two
tries of 5 s each): ten POSTs at a time can leave 40 names hanging, and further names must not wait for those.
"""

TLS_RECORD = 16_384

_HEAD = """\
POST {target} HTTP/1.1\r
Host: {authority}\r
Accept-Encoding: identity\r
Content-Length: {length}\r
User-Agent: backchannel\r
Content-Type: application/x-www-form-urlencoded\r
\r
"""

_TRUST_LOCK = threading.Lock()

_FAULTS: Sequence[tuple[type[Exception] | tuple[type[Exception], ...], type[RelyingPartyFault]]] = (
    (TimeoutError, TlsTimeout),  # every other wait names its own fault
    ((ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError), ConnectionReset),
    (ssl.SSLError, TlsFailed),
    (ValueError, TlsFailed),  # a name that no certificate can be for
    (OSError, ConnectionReset),
)
"""What the libraries raise once TCP is connected, and what happened then; the first row that fits decides."""


class Key(NamedTuple):
    """What a connection was vetted and verified for. One made under a looser policy must not serve a stricter one."""

    scheme: str
    host: str
    port: int
    allowed_networks: tuple[str, ...]
    ca_bundle: str | None


class Resolver:
    """Bounds the wait for ``getaddrinfo``, which nothing can interrupt.

    A name that hangs holds one thread, however many deliveries ask for it: others must not wait for its sake.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._executor = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="resolve")
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[Sequence[tuple[Any, ...]]]] = {}

    def __call__(self, host: str, port: int, timeout: float) -> list[str]:
        with self._lock:
            lookup = self._running.get((host, port))
            if lookup is None:
                lookup = self._executor.submit(self._resolve, host, port, type=socket.SOCK_STREAM)
                self._running[host, port] = lookup
                lookup.add_done_callback(lambda _: self._running.pop((host, port)))
        try:
            answers = lookup.result(timeout)
        except (OSError, UnicodeError) as error:  # gaierror, our own TimeoutError, a label that IDNA cannot encode
            raise DnsFailure(f"{host}: {error!r}") from error
        if not answers:
            raise DnsFailure(f"{host}: no address")
        return list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class Limits(NamedTuple):
    clock: Clock
    connect_timeout: float
    read_timeout: float
    lookup: Resolver


class Connection(HTTPConnection):
    """Dials vetted addresses only; every wait on its socket ends at ``deadline`` (on ``clock``) at the latest."""

    auto_open = 0  # http.client would dial again, unasked, in the midst of a request
    deadline = 0.0
    received = 0
    reusable = False
    idle_since = 0.0
    address: str | None = None

    def __init__(self, key: Key, limits: Limits) -> None:
        super().__init__(key.host, key.port, timeout=limits.read_timeout)
        self.key = key
        self._limits = limits

    def exchange(self, target: str, body: bytes) -> answers.HttpAnswer:
        """Return the answer; ``reusable`` tells whether the connection is good for another."""
        self.received, self.reusable = 0, False
        if self.sock is None:
            self.connect()
        with contextlib.suppress(ConnectionError):  # it may have answered without reading all that we sent
            self._send(self._head(target, len(body)) + body)
        answer = answers.read(self._receive)
        self.reusable = answer.reusable
        return answer

    def _head(self, target: str, length: int) -> bytes:
        """Return the request line and the headers: in one piece with the body, they are one TLS record and one write."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == self.default_port else f"{host}:{self.port}"
        return _HEAD.format(target=target, authority=authority, length=length).encode("ascii")

    def _send(self, data: bytes) -> None:
        for start in range(0, len(data), TLS_RECORD):  # sendall() on TLS waits anew for each record
            self._be_patient()
            try:
                self.sock.sendall(data[start : start + TLS_RECORD])
            except TimeoutError as error:
                raise self._silence() from error

    def _receive(self) -> bytes:
        self._be_patient()
        try:
            octets = self.sock.recv(TLS_RECORD)
        except TimeoutError as error:
            raise self._silence() from error
        self.received += len(octets)
        return octets

    def _be_patient(self) -> None:
        """Bound the next wait on the socket."""
        patience = self._patience(self._limits.read_timeout)
        if patience != self.sock.gettimeout():  # setting it is a system call, for which other threads get their turn
            self.sock.settimeout(patience)

    def _patience(self, longest: float) -> float:
        """Return the seconds that the next wait may take."""
        left = self.deadline - self._limits.clock()
        if left <= 0:
            raise DeadlineExceeded(f"{self.received} octets of an answer received")
        return min(longest, left)

    def _silence(self) -> RelyingPartyFault:
        """Return the fault that a wait of ``_patience`` seconds ended with."""
        kind = DeadlineExceeded if self._limits.clock() >= self.deadline else ReadTimeout
        return kind(f"{self.received} octets of an answer received")

    def _new_conn(self) -> socket.socket:
        addresses = self._vetted()[:MAX_DIALLED]
        end = self._limits.clock() + self._patience(self._limits.connect_timeout)
        failure: OSError | None = None
        for position, address in enumerate(addresses):
            share = (end - self._limits.clock()) / (len(addresses) - position)
            self.address = str(address)
            try:
                sock = socket.create_connection((str(address), self.port), max(share, 0.001))
            except OSError as error:
                failure = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # For the TLS handshake, which counts it down as a whole, however often a byte comes.
            sock.settimeout(self._patience(self._limits.read_timeout))
            return sock
        raise (ConnectTimeout if isinstance(failure, TimeoutError) else ConnectFailed)(str(failure)) from failure

    def _vetted(self) -> list[Address]:
        """Return the host's addresses; a single forbidden one among them spoils all, so that none is chosen by luck."""
        scheme, host, port, allowed_networks, _ = self.key
        if scheme == "http" and not allowed_networks:
            raise AddressForbidden("http leads into allowed networks only")
        networks = [ip_network(network) for network in allowed_networks]
        texts = [host] if is_literal(host) else self._limits.lookup(host, port, self._patience(float("inf")))
        return [vet(text, networks, public=scheme == "https") for text in texts]


class TlsConnection(Connection, HTTPSConnection):
    """Verifies the certificate for the registered host, which is what SNI says, too: never for the address."""

    def __init__(self, key: Key, limits: Limits) -> None:
        super().__init__(key, limits)
        self.ssl_context = trust(key.ca_bundle)


def trust(ca_bundle: str | None) -> ssl.SSLContext:
    """Return the context that trusts these certificate authorities (PEM), or the public ones."""
    with _TRUST_LOCK:  # ten threads that start at once would each read the whole trust store
        return _trust(ca_bundle)


@functools.lru_cache(maxsize=64)
def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca_bundle)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: not even ASCII
        raise TlsFailed("the client's own certificate authorities are not PEM") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextlib.contextmanager
def faults() -> Iterator[None]:
    try:
        yield
    except RelyingPartyFault:
        raise
    except (OSError, ValueError) as error:
        raise next(fault for kind, fault in _FAULTS if isinstance(error, kind))(str(error)) from error
