"""One connection to a relying party or a provider: to vetted addresses only. urllib3 connects and verifies, http.client reads."""

import contextlib
import functools
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import NamedTuple, Self, cast

from urllib3.connection import HTTPConnection, HTTPSConnection

from backchannel.egress.addresses import Address, is_literal, vet
from backchannel.egress.names import Resolver
from backchannel.egress.responses import MAX_BODY, TolerantResponse
from backchannel.egress.sockets import MAX_OCTETS, MAX_RECEIVES, BoundedSocket, BoundedTlsSocket, Budget, Clock
from backchannel.egress.trace import Step, Trace
from backchannel.errors import (
    AddressForbidden,
    AnswerMalformed,
    ConnectFailed,
    ConnectionReset,
    ConnectTimeout,
    RelyingPartyFault,
    TlsAborted,
    TlsFailed,
    TlsTimeout,
)

MAX_DIALLED = 4
"""Addresses tried, each with its share of the connect timeout. Vetted are all that the resolver gave."""

_POST_HEAD = """\
POST {target} HTTP/1.1\r
Host: {authority}\r
Accept-Encoding: identity\r
Content-Length: {length}\r
User-Agent: backchannel\r
Content-Type: application/x-www-form-urlencoded\r
\r
"""

_GET_HEAD = """\
GET {target} HTTP/1.1\r
Host: {authority}\r
Accept: application/json\r
Accept-Encoding: identity\r
User-Agent: backchannel\r
\r
"""

_OCTETS_IN_A_RECEIVE = 256
"""On average, of a document: servers that write no more at once are not read to the end."""

_TRUST_LOCK = threading.Lock()

type _Faults = Sequence[tuple[type[Exception] | tuple[type[Exception], ...], type[RelyingPartyFault]]]
"""What the libraries raise, and what happened then; the first row that fits decides. Waits after the handshake name their own."""

_BROKEN = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_HANDSHAKE: _Faults = (
    (TimeoutError, TlsTimeout),
    (_BROKEN, ConnectionReset),
    (ssl.SSLError, TlsFailed),
    (ValueError, TlsFailed),  # a name that no certificate can be for
    (OSError, ConnectionReset),
)
_EXCHANGE: _Faults = (
    (_BROKEN, ConnectionReset),
    # With TLS 1.3, a server looks at the client's certificate when our request may be on its way (RFC 8446, section 4.4.2.4).
    (ssl.SSLError, TlsAborted),
    (ValueError, AnswerMalformed),
    (OSError, ConnectionReset),
)


class Key(NamedTuple):
    """What a connection was vetted and verified for. One made under a looser policy must not serve a stricter one."""

    scheme: str
    host: str
    port: int
    allowed_networks: tuple[str, ...]
    ca_bundle: str | None


class Limits(NamedTuple):
    clock: Clock
    connect_timeout: float
    read_timeout: float
    lookup: Resolver


class Method(NamedTuple):
    """A kind of request, and how much of its response is read; ``cuts``: of a longer body, the beginning is enough."""

    name: str
    head: str
    max_body: int
    cuts: bool
    max_octets: int
    max_receives: int

    @classmethod
    def get(cls, max_body: int) -> Self:
        """Return what reads a whole document, which may come in many small chunks."""
        receives = MAX_RECEIVES + max_body // _OCTETS_IN_A_RECEIVE
        return cls("GET", _GET_HEAD, max_body, cuts=False, max_octets=MAX_OCTETS + 2 * max_body, max_receives=receives)


POST = Method("POST", _POST_HEAD, MAX_BODY, cuts=True, max_octets=MAX_OCTETS, max_receives=MAX_RECEIVES)


class Connection(HTTPConnection):
    """Dials vetted addresses only; keeps to the budget of the request that it serves."""

    sock: BoundedSocket | None
    budget: Budget
    is_reusable = False
    idle_since = 0.0
    address: str | None = None
    trace: Trace | None = None

    def __init__(self, key: Key, limits: Limits) -> None:
        super().__init__(key.host, key.port, timeout=limits.read_timeout)
        self.key = key
        self._limits = limits

    def exchange(self, method: Method, target: str, body: bytes, deadline: float) -> TolerantResponse:
        """Return the response, read; ``is_reusable`` tells whether the connection is good for another request."""
        self.is_reusable = False
        self.budget = budget = Budget(
            self._limits.clock, deadline, self._limits.read_timeout, method.max_octets, method.max_receives
        )
        if self.sock is None:
            with _faults(_HANDSHAKE):
                self.connect()
        sock = cast("BoundedSocket", self.sock)
        sock.budget = budget
        with _faults(_EXCHANGE):
            with contextlib.suppress(ConnectionError):  # it may have answered without reading all that we sent
                sock.sendall(self._head(method, target, len(body)) + body)
            self._done(Step.SEND)
            response = self._read(method, sock)
        self._done(Step.ANSWER)
        is_clean = response.is_whole and not budget.is_closed_by_peer and not budget.has_surplus
        self.is_reusable = is_clean and not response.will_close
        return response

    def _done(self, step: Step) -> None:
        if self.trace is not None:
            self.trace.done(step)

    def _head(self, method: Method, target: str, length: int) -> bytes:
        """Return the request line and the headers: in one piece with the body, they are one TLS record and one write."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == self.default_port else f"{host}:{self.port}"
        return method.head.format(target=target, authority=authority, length=length).encode("ascii")

    def _read(self, method: Method, sock: BoundedSocket) -> TolerantResponse:
        try:
            with contextlib.closing(TolerantResponse(sock, method=method.name)) as response:
                response.begin()
                if method.cuts:
                    response.keep(method.max_body)
                else:
                    response.keep_all(method.max_body)
        except http.client.HTTPException as error:
            kind = ConnectionReset if self.budget.is_closed_by_peer else AnswerMalformed
            raise kind(type(error).__name__) from None  # the text of the error quotes the RP
        return response

    def _new_conn(self) -> socket.socket:
        addresses = self._vetted()[:MAX_DIALLED]
        self._done(Step.RESOLVE)
        clock = self._limits.clock
        end = clock() + self.budget.patience(self._limits.connect_timeout)
        failure: OSError | None = None
        for position, address in enumerate(addresses):
            share = (end - clock()) / (len(addresses) - position)
            self.address = str(address)
            if self.trace is not None:
                self.trace.dialled.append(self.address)
            try:
                dialled = socket.create_connection((self.address, self.port), max(share, 0.001))
            except OSError as error:
                failure = error
                continue
            self._done(Step.CONNECT)
            sock = BoundedSocket(fileno=dialled.detach())
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # For the TLS handshake, which counts it down as a whole, however often a byte comes.
            sock.settimeout(self.budget.patience())
            return sock
        raise (ConnectTimeout if isinstance(failure, TimeoutError) else ConnectFailed)(str(failure)) from failure

    def _vetted(self) -> list[Address]:
        """Return the host's addresses; a single forbidden one among them spoils all, so that none is chosen by luck."""
        scheme, host, port, allowed_networks, _ = self.key
        if scheme == "http" and not allowed_networks:
            raise AddressForbidden("http leads into allowed networks only")
        networks = [ip_network(network) for network in allowed_networks]
        texts = [host] if is_literal(host) else self._limits.lookup(host, port, self.budget.patience(float("inf")))
        if self.trace is not None:
            self.trace.resolved(texts, networks, public=scheme == "https")
        return [vet(text, networks, public=scheme == "https") for text in texts]


class TlsConnection(Connection, HTTPSConnection):
    """Verifies the certificate for the registered host, which is what SNI says, too: never for the address."""

    def __init__(self, key: Key, limits: Limits) -> None:
        super().__init__(key, limits)
        self.ssl_context = trust(key.ca_bundle)

    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            if self.trace is not None:
                self.trace.refused(error)
            raise
        if self.trace is not None:
            self.trace.secured(cast("ssl.SSLSocket", self.sock))
            self.trace.done(Step.TLS)


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
    context.sslsocket_class = BoundedTlsSocket
    return context


@contextlib.contextmanager
def _faults(table: _Faults) -> Iterator[None]:
    try:
        yield
    except RelyingPartyFault:
        raise
    except (OSError, ValueError) as error:
        raise next(fault for kind, fault in table if isinstance(error, kind))(str(error)) from error
