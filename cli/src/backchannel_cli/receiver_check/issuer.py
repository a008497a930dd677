"""The issuer of a check: its discovery document, its JWKS, and a login without questions, served while the check runs."""

import html
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from backchannel_cli.receiver_check.keys import KINDS, kid, public
from backchannel_cli.receiver_check.signature_cases import OTHER_KEYS_PATH
from backchannel_cli.receiver_check.tokens import Json, Mint

DISCOVERY_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/jwks.json"
READ_AT_MOST = 16_384
IDLE_S = 10.0
LOGINS_AT_MOST = 100

Reply = tuple[HTTPStatus, Mapping[str, str], bytes]
Query = Mapping[str, str]
_NOT_FOUND: Reply = (HTTPStatus.NOT_FOUND, {}, b"")
_BAD_REQUEST: Reply = (HTTPStatus.BAD_REQUEST, {}, b"")


class Issuer:
    """What the issuer answers; ``fetched`` counts the requests by path.

    Everybody who asks is logged in as the user of the check, and is led to the relying party and nowhere else.
    """

    def __init__(self, mint: Mint, relying_party_host: str) -> None:
        self._mint = mint
        self._relying_party_host = relying_party_host
        self._nonces: dict[str, str] = {}
        self._lock = threading.Lock()
        self.fetched: Counter[str] = Counter()

    def reply(self, method: str, path: str, query: Query) -> Reply:
        route = self._routes().get((method, path))
        with self._lock:
            if route:
                self.fetched[path] += 1
            return route(query) if route else _NOT_FOUND

    def _routes(self) -> Mapping[tuple[str, str], Callable[[Query], Reply]]:
        return {
            ("GET", DISCOVERY_PATH): lambda _: _json(self.discovery()),
            ("GET", JWKS_PATH): lambda _: _json(self._mint.keys.jwks()),
            ("GET", OTHER_KEYS_PATH): lambda _: _json({"keys": [public(self._mint.keys.stranger, self._mint.keys.alg)]}),
            ("GET", "/authorize"): self._authorize,
            ("POST", "/token"): self._token,
            ("GET", "/userinfo"): lambda _: _json(dict(self._mint.user)),
        }

    def discovery(self) -> Json:
        issuer = self._mint.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}{JWKS_PATH}",
            "response_types_supported": ["code", "id_token"],
            "response_modes_supported": ["query", "form_post"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(KINDS),
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
        }

    def _authorize(self, query: Query) -> Reply:
        """Log in without a question: with a code, or with an ID token in a form that the browser posts."""
        to = query.get("redirect_uri", "")
        try:
            parts = urlsplit(to)
            is_of_rp = parts.scheme in {"http", "https"} and parts.hostname == self._relying_party_host
        except ValueError:
            is_of_rp = False
        if not is_of_rp or not to.isprintable() or query.get("client_id") != self._mint.client_id:
            return _BAD_REQUEST
        state = {"state": query["state"]} if "state" in query else {}
        if query.get("response_type") == "id_token":
            return _form_post(to, {"id_token": self._id_token(query.get("nonce")), **state})
        if len(self._nonces) >= LOGINS_AT_MOST:
            return _BAD_REQUEST
        code = secrets.token_urlsafe(16)
        self._nonces[code] = query.get("nonce", "")
        return HTTPStatus.FOUND, {"Location": f"{to}{'&' if parts.query else '?'}{urlencode({'code': code, **state})}"}, b""

    def _token(self, query: Query) -> Reply:
        nonce = self._nonces.pop(query.get("code", ""), None)
        if nonce is None:
            return HTTPStatus.BAD_REQUEST, {"Content-Type": "application/json"}, b'{"error": "invalid_grant"}'
        token = secrets.token_urlsafe(16)
        return _json({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "id_token": self._id_token(nonce)})

    def _id_token(self, nonce: str | None) -> str:
        return self._mint.id_token(**({"nonce": nonce} if nonce else {}))


class IssuerServer(ThreadingHTTPServer):
    """Listens at once, and serves from the entry to the exit of a `with`, after ``serve`` has said what."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        self.issuer: Issuer | None = None
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def server_bind(self) -> None:
        """Bind without asking DNS for a name of this machine."""
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), port

    def serve(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop serving, and free the address."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that breaks off is no failure of the check."""


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_S
    server: IssuerServer

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > READ_AT_MOST:
            self._send(_BAD_REQUEST)
            return
        self._answer(self.rfile.read(int(length)).decode("utf-8", "replace"))

    def log_message(self, *_: object) -> None:
        """Say nothing: the check counts what is fetched."""

    def _answer(self, form: str) -> None:
        issuer = self.server.issuer
        try:
            query = {name: values[0] for name, values in parse_qs(form, max_num_fields=50).items()}
        except ValueError:
            issuer = None
        self._send(issuer.reply(self.command, urlsplit(self.path).path, query) if issuer else _BAD_REQUEST)

    def _send(self, reply: Reply) -> None:
        status, headers, body = reply
        self.send_response(status)
        for name, value in {"Cache-Control": "no-store", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def proves_itself(jwks: object, mint: Mint) -> bool:
    """Tell whether a JWKS is that of this check's issuer: nobody else has its key."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    ours = kid(mint.keys.signing)
    return isinstance(keys, list) and any(isinstance(key, dict) and key.get("kid") == ours for key in keys)


def _json(document: Json) -> Reply:
    return HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _form_post(to: str, values: Mapping[str, str]) -> Reply:
    """OAuth 2.0 Form Post Response Mode."""
    fields = "".join(f'<input type="hidden" name="{name}" value="{html.escape(value)}"/>' for name, value in values.items())
    page = f'<form method="post" action="{html.escape(to)}">{fields}</form><script>document.forms[0].submit()</script>'
    return HTTPStatus.OK, {"Content-Type": "text/html; charset=utf-8"}, page.encode()
