"""What a provider publishes itself: a real HTTP server on loopback with a JWKS and a discovery document."""

import json
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from joserfc.jwk import ECKey

from tests.support.servers import LoopbackServer

type Json = dict[str, Any]

DISCOVERY, JWKS = "/.well-known/openid-configuration", "/jwks"


def new_key(kid: str) -> Json:
    """Return the public half of a new key."""
    return {**ECKey.generate_key("P-256").as_dict(private=False), "kid": kid, "use": "sig", "alg": "ES256"}


class UpstreamServer:
    """Serves ``pages`` by path, and counts the requests for each; octets are served as they are."""

    def __init__(self, issuer: str) -> None:
        self._server = LoopbackServer(self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.pages: dict[str, Json | bytes] = {
            DISCOVERY: {
                "issuer": issuer,
                "authorization_endpoint": f"{self.url}/auth",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": self.url + JWKS,
                "end_session_endpoint": f"{self.url}/logout",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
                "backchannel_logout_supported": False,
                "signed_metadata": "a.b.c",
            },
            JWKS: {"keys": [new_key("one")]},
        }
        self.requests: Counter[str] = Counter()
        self.headers: Mapping[str, str] = {}
        self._is_serving = False

    def __enter__(self) -> Self:
        self._server.__enter__()
        self._is_serving = True
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse every connection from now on."""
        if self._is_serving:
            self._is_serving = False
            self._server.__exit__()

    @property
    def upstream(self) -> Json:
        """Return the ``upstream`` of a provider that is here."""
        return {"discovery": self.url + DISCOVERY}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.requests[self.path] += 1
                page = served.pages.get(self.path)
                body = page if isinstance(page, bytes) else json.dumps(page).encode()
                self.send_response(404 if page is None else 200)
                for name, value in served.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
                """Say nothing: the requests are counted."""

        return Handler
