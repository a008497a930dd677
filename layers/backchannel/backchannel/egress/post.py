"""Every request that leaves: the POST to a relying party, and the GET of a document. Keeps connections open for the next one."""

import functools
import re
import socket
import threading
import time
from dataclasses import dataclass

from backchannel.egress.connections import POST, Connection, Key, Limits, Method, TlsConnection, trust
from backchannel.egress.names import Resolve, Resolver
from backchannel.egress.sockets import Clock
from backchannel.egress.trace import Trace
from backchannel.errors import AddressForbidden, ConnectionReset, RelyingPartyFault

MAX_HEADER = 256

DEADLINE = 8.0
"""Seconds that a request takes at the most, from name to body."""

MAX_IDLE = 30
"""Seconds between two requests: a NAT or a firewall may forget a flow in silence, the most impatient of them after a minute."""

_URI = re.compile(
    r"(https?)://(?:\[([0-9a-f:.]+)]|([a-z0-9._-]+))(?::([0-9]*))?((?:[/?][!\"$-~]*)?)",
    re.IGNORECASE | re.ASCII,  # without ASCII, two letters of other alphabets count as an s and a k
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Response:
    """What the server said: headers, and the body that answers a POST, are cut; ``address`` is the one that was dialled."""

    status: int
    retry_after: str | None
    body: bytes
    content_type: str | None
    address: str


class Egress:
    """Sends logout tokens and reads documents. Thread-safe; keeps connections open for the next request under the same policy."""

    def __init__(
        self,
        *,
        resolve: Resolve = socket.getaddrinfo,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        connect_timeout: float = 2.0,
        read_timeout: float = 5.0,
        deadline: float = DEADLINE,
        idle_connections: int = 500,
        preload: bool = True,
    ) -> None:
        """Times in seconds: ``read_timeout`` is the longest silence, ``deadline`` is for a request from name to body.

        ``idle_connections`` is for all RPs together, and well below the 1024 file descriptors of a Lambda function.
        ``wall_clock`` tells how long they have been idle: it goes on while a Lambda function is frozen between invocations.
        ``preload``: read the trust store at once, not with the first connection over TLS, which may never come.
        """
        self._deadline = deadline
        self._limits = Limits(clock, connect_timeout, read_timeout, Resolver(resolve))
        self._idle = _Idle(idle_connections, wall_clock)
        # Reading the whole trust store takes its time: beside the rest of a cold start.
        if preload:
            threading.Thread(target=trust, args=(None,), daemon=True).start()

    def post(
        self,
        uri: str,
        body: bytes,
        *,
        allowed_networks: tuple[str, ...] = (),
        ca_bundle: str | None = None,
        trace: Trace | None = None,
    ) -> Response:
        """POST a form to the RP; ``ca_bundle`` (PEM) is trusted instead of the public certificate authorities.

        ``trace`` notes how far it came. Such a request takes every step: it uses no open connection.

        Raises:
            RelyingPartyFault: there was no whole answer; the leaf says why.

        """
        return self._request(POST, uri, body, allowed_networks, ca_bundle, trace=trace)

    def get(self, uri: str, *, allowed_networks: tuple[str, ...] = (), ca_bundle: str | None = None, max_octets: int) -> Response:
        """GET a document; its body is whole, or a fault is raised. A redirect is a response like any other: it is not followed.

        Raises:
            RelyingPartyFault: there was no whole answer, or one of more than ``max_octets``; the leaf says why.

        """
        return self._request(Method.get(max_octets), uri, b"", allowed_networks, ca_bundle)

    def close(self) -> None:
        """Close the idle connections, and wait for no lookup."""
        self._idle.close()
        self._limits.lookup.close()

    def _request(
        self,
        method: Method,
        uri: str,
        body: bytes,
        allowed_networks: tuple[str, ...],
        ca_bundle: str | None,
        *,
        trace: Trace | None = None,
    ) -> Response:
        scheme, host, port, target = _parse(uri)
        key = Key(scheme, host, port, allowed_networks, ca_bundle)
        deadline = self._limits.clock() + self._deadline
        connection = self._idle.take(key) if trace is None else None
        if connection is not None:
            try:
                return self._exchange(connection, method, target, body, deadline)
            except ConnectionReset:
                # The server closed the idle connection while our request was on its way. Sending it again on a new one is
                # safe: most likely nobody read the first, and a user who is logged out already stays logged out
                # (Back-Channel Logout 1.0, section 2.7). Once an answer had begun, or on a new connection, it would be
                # an attempt of its own, with a token of its own.
                if connection.budget.received:
                    raise
        connection = (TlsConnection if scheme == "https" else Connection)(key, self._limits)
        if trace is not None:
            trace.has_tls = scheme == "https"
            connection.trace = trace
        return self._exchange(connection, method, target, body, deadline)

    def _exchange(self, connection: Connection, method: Method, target: str, body: bytes, deadline: float) -> Response:
        try:
            response = connection.exchange(method, target, body, deadline)
        except RelyingPartyFault as fault:
            fault.address = connection.address
            raise
        finally:
            if connection.is_reusable and connection.trace is None:
                self._idle.put(connection)
            else:
                connection.close()
        retry_after, content_type = _cut(response.field(b"retry-after")), _cut(response.field(b"content-type"))
        return Response(response.status, retry_after, response.kept, content_type, connection.address or "")


@functools.lru_cache(maxsize=4096)
def _parse(uri: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and the request target byte for byte: nothing is decoded, nothing normalised."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise AddressForbidden("not an http(s) URI of a plain host")
    scheme = match[1].lower()
    port = int(match[4] or _PORTS[scheme])
    if not 0 < port < 65_536:  # noqa: PLR2004 - 16 bits
        raise AddressForbidden("not a port")
    target = match[5]
    return scheme, (match[2] or match[3]).lower(), port, target if target.startswith("/") else f"/{target}"


def _cut(value: str | None) -> str | None:
    return None if value is None else value[:MAX_HEADER]


class _Idle:
    """Open connections between two requests, the least recently used first; it is closed when there are too many."""

    def __init__(self, most: int, now: Clock) -> None:
        self._most = most
        self._now = now
        self._lock = threading.Lock()
        self._connections: list[Connection] = []

    def take(self, key: Key) -> Connection | None:
        while (connection := self._pop(key)) is not None:
            # Unread input is the end of the connection, or an answer to no request of ours (RFC 9110, section 15.5.9: 408):
            # never one to the next.
            if 0 <= self._now() - connection.idle_since < MAX_IDLE and connection.is_connected:
                return connection
            connection.close()
        return None

    def put(self, connection: Connection) -> None:
        connection.idle_since = self._now()
        with self._lock:
            self._connections.append(connection)
            surplus = self._connections.pop(0) if len(self._connections) > self._most else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        with self._lock:
            waiting, self._connections = self._connections, []
        for connection in waiting:
            connection.close()

    def _pop(self, key: Key) -> Connection | None:
        with self._lock:
            for position in reversed(range(len(self._connections))):  # the last one put is the likeliest to be open still
                if self._connections[position].key == key:
                    return self._connections.pop(position)
        return None
