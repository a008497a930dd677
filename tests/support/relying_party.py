"""A relying party's back-channel logout endpoint: a real HTTP server on loopback with answers as a test wants them."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from math import inf
from typing import Self

from tests.support.servers import LoopbackServer
from tests.support.unspeakable import note


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets after ``delay`` seconds; it hangs for ever with HANG."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0


HANG = Answer(delay=inf)


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A request as it came: ``path`` with its query, header names in lower case, ``at`` in seconds since the epoch."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def token(self) -> str:
        name, _, token = self.body.decode("ascii").partition("=")
        assert name == "logout_token"
        return token


class RelyingParty:
    """Gives the first request the first answer, and the last answer to all that follow.

    It speaks HTTP/1.0. A connection that outlived its server would, at a port that is used again, end up at the wrong one.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers: Sequence[Answer] = answers or [Answer()]
        self.requests: list[LogoutRequest] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server = LoopbackServer(self._handler())

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.__exit__()

    def uri(self, path: str = "/backchannel-logout") -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    @property
    def tokens(self) -> list[str]:
        return [request.token for request in self.requests]

    def _take(self, request: LogoutRequest) -> Answer:
        note(request.token)
        with self._lock:
            answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
            self.requests.append(request)
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relying_party = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = relying_party._take(LogoutRequest(self.path, headers, body, time.time()))
                if answer.delay and relying_party._closing.wait(None if answer.delay == inf else answer.delay):
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
                """Say nothing: the requests are kept."""

        return Handler
