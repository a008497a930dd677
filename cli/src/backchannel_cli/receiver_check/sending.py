"""HTTP to the relying party, bounded in time and size. No redirect is followed, no proxy is used, no connection is kept."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import SplitResult, urlencode, urlsplit

from backchannel_cli.errors import UsageError

READ_AT_MOST = 16_384
"""Octets of a body that are read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        return 200 <= self.status <= 299  # noqa: PLR2004 - HTTP's


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came back that is HTTP, or not in time."""

    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """An address at the relying party."""

    url: str
    parts: SplitResult

    @classmethod
    def parse(cls, url: str, what: str = "The URL of the relying party") -> "Target":
        """Take an absolute http or https URL.

        Raises:
            UsageError: it is none.

        """
        try:
            parts = urlsplit(url)
            valid = (
                parts.scheme in {"http", "https"} and bool((parts.hostname or "").encode("idna").strip(b".")) and parts.port != 0
            )
        except ValueError:
            valid = False
        if not valid or not url.isascii() or not url.isprintable() or " " in url:
            raise UsageError(
                f"{what} is no absolute http or https URL: {url}", "Give it as https://rp.example/backchannel-logout."
            )
        if parts.fragment or parts.username is not None:
            raise UsageError(f"{what} has a fragment or a user name.", "Give it as it is registered at the provider.")
        return cls(url, parts)

    @property
    def host(self) -> str:
        return self.parts.hostname or ""

    @property
    def is_tls(self) -> bool:
        return self.parts.scheme == "https"

    @property
    def port(self) -> int:
        return self.parts.port or (443 if self.is_tls else 80)

    @property
    def path(self) -> str:
        return (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")


@dataclass(frozen=True, slots=True)
class Sender:
    """``timeout``: seconds from the dialling of a connection to the last octet of the answer."""

    timeout: float

    def post(self, target: Target, form: Mapping[str, str]) -> Answer | NoAnswer:
        body = urlencode(form).encode("ascii")
        return self._ask("POST", target, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def get(self, target: Target, cookie: str | None = None) -> Answer | NoAnswer:
        return self._ask("GET", target, None, {} if cookie is None else {"Cookie": cookie})

    def _ask(self, method: str, target: Target, body: bytes | None, headers: Mapping[str, str]) -> Answer | NoAnswer:
        context = ssl.create_default_context() if target.is_tls else None  # takes a while: it reads all authorities
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            deadline = stack.enter_context(_Deadline(self.timeout))
            try:
                connection = stack.enter_context(contextlib.closing(_connected(target, self.timeout, context, deadline)))
                connection.request(method, target.path, body, {"Connection": "close", "Accept": "*/*", **headers})
                response = stack.enter_context(connection.getresponse())
                content = response.read(READ_AT_MOST)
            except (OSError, http.client.HTTPException) as error:
                reason = _late(self.timeout) if deadline.is_over else _reason(error, self.timeout)
                return NoAnswer(reason, time.monotonic() - began)
            if deadline.is_over:
                return NoAnswer(_late(self.timeout), time.monotonic() - began)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, content, time.monotonic() - began)


class _Deadline:
    """Shuts a socket down when its time is over: a time-out of the socket itself begins anew with each octet of a drip."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, connected: socket.socket) -> None:
        self._socket = connected
        if self.is_over:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own shutdown would take its state from the reader


def _connected(target: Target, timeout: float, context: ssl.SSLContext | None, deadline: _Deadline) -> http.client.HTTPConnection:
    connected = socket.create_connection((target.host, target.port), timeout)
    if context is not None:
        secured = context.wrap_socket(connected, server_hostname=target.host, do_handshake_on_connect=False)
        deadline.watch(secured)
        try:
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        connected = secured
    deadline.watch(connected)
    connection = http.client.HTTPConnection(target.host, target.parts.port, timeout=timeout)
    connection.sock = connected
    return connection


def _late(timeout: float) -> str:
    return f"no complete answer within {timeout:g} s"


def _reason(error: OSError | http.client.HTTPException, timeout: float) -> str:
    return next((words(error, timeout) for kind, words in _REASONS if isinstance(error, kind)), "the network failed")


_REASONS: Sequence[tuple[type[Exception], Callable[[Any, float], str]]] = (
    (TimeoutError, lambda _, timeout: _late(timeout)),
    (ConnectionRefusedError, lambda *_: "nobody listens there (connection refused)"),
    (socket.gaierror, lambda *_: "the name is not known"),
    (ssl.SSLCertVerificationError, lambda error, _: f"its certificate is not trusted here ({error.verify_message})"),
    (ssl.SSLError, lambda error, _: f"TLS failed ({error.reason})"),
    (http.client.RemoteDisconnected, lambda *_: "it closed the connection without an answer"),
    (ConnectionError, lambda *_: "it broke the connection off"),
    (http.client.HTTPException, lambda *_: "its answer is not HTTP"),
    (OSError, lambda error, _: f"the network failed ({error.strerror or type(error).__name__})"),
)
"""What a failure means; the first that fits."""
