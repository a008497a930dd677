"""A stand-in for a relying party's back-channel logout endpoint: keeps each request, then passes it on."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import urllib3

from tests.support.servers import LoopbackServer


@dataclass(slots=True)
class Recorder:
    """Where it listens, the bodies it was sent, and the status of each answer; while ``is_down``, it passes nothing on."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    is_down: bool = False


@contextmanager
def recording(backchannel_logout_uri: str) -> Generator[Recorder]:
    """Listen on a free loopback port for what is meant for this address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            recorder.bodies.append(body)
            if recorder.is_down:
                recorder.statuses.append(503)
                self.send_error(503)
                return
            headers = {"Content-Type": self.headers["Content-Type"]}
            answer = urllib3.request(
                "POST", backchannel_logout_uri, body=body, headers=headers, redirect=False, retries=False, timeout=5.0
            )
            recorder.statuses.append(answer.status)
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
            """Say nothing: the requests are kept."""

    path = urlsplit(backchannel_logout_uri).path
    with LoopbackServer(Handler) as server:
        recorder = Recorder(f"http://127.0.0.1:{server.server_port}{path}")
        yield recorder
