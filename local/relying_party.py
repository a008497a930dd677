"""A demo relying party: it holds sessions, and ends one for each logout token that it has verified.

It verifies as section 2.6 of Back-Channel Logout 1.0 says, with another JOSE library than the service uses.
"""

import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

EVENT = "http://schemas.openid.net/event/backchannel-logout"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the default of 5, some connections of a burst wait for a second SYN


class RefusedError(Exception):
    """The relying party does not accept the logout token."""


@dataclass
class RelyingParty:
    """One RP on a port of its own; ``sessions`` maps each ``sid`` to its ``sub``."""

    client_id: str
    alg: str
    issuer: str
    jwks_uri: str
    refuses: bool = False
    sessions: dict[str, str] = field(default_factory=dict)
    ended_at: float | None = None

    def __enter__(self) -> Self:
        """Listen."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def backchannel_logout_uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/backchannel-logout"

    def log_in(self, sub: str, sid: str) -> None:
        """Begin a session. A real RP has read its provider's keys by now, to verify the ID token."""
        with urllib.request.urlopen(self.jwks_uri, timeout=10) as answer:  # noqa: S310 - the service's own, on loopback
            self._keys = KeySet.import_key_set(json.load(answer))
        self.sessions[sid] = sub

    def log_out(self, form: bytes) -> None:
        """Verify the logout token in a request, and end its session."""
        if self.refuses:
            raise RefusedError("told to refuse")
        claims = self._verify(parse_qs(form.decode())["logout_token"][0])
        if self.sessions.get(claims["sid"]) == claims["sub"]:
            del self.sessions[claims["sid"]]
            self.ended_at = time.perf_counter()

    def _verify(self, token: str) -> dict[str, Any]:
        try:
            claims = jwt.decode(token, self._keys, algorithms=[self.alg]).claims
        except JoseError as error:
            raise RefusedError(error.error) from error
        right = (
            claims["iss"] == self.issuer
            and claims["aud"] == self.client_id
            and claims["iat"] <= time.time() < claims["exp"]
            and claims["events"] == {EVENT: {}}
            and "nonce" not in claims
        )
        if not right:
            raise RefusedError("claims")
        return claims


def _handler(rp: RelyingParty) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                rp.log_out(self.rfile.read(int(self.headers["Content-Length"])))
            except RefusedError as refusal:
                self._answer(400, {"error": "invalid_request", "error_description": str(refusal)})
            else:
                self._answer(200, {})

        def _answer(self, status: int, body: dict[str, str]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Leave the terminal to the demo."""

    return Handler
