"""A relying party's ``jwks_uri``: a real HTTP server on loopback, with keys as a test wants them."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from tests.support.servers import LoopbackServer


class KeyServer:
    """Serves these keys, or while it ``is_down`` breaks every connection off. ``requests`` counts both."""

    def __init__(self, *keys: dict[str, Any], is_down: bool = False) -> None:
        self.keys = keys
        self.is_down = is_down
        self.requests = 0
        self._server = LoopbackServer(self._handler())

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.requests += 1
                if keys.is_down:
                    return
                body = json.dumps({"keys": keys.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/jwk-set+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
                """Say nothing: the requests are counted."""

        return Handler
