"""A relying party's logout endpoint that checks all that it has to, but for what a test has it be careless of."""

import hashlib
import hmac
import json
import random
import secrets
import socket
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from time import time
from typing import Any, Self
from urllib.parse import parse_qs
from urllib.request import ProxyHandler, build_opener

from joserfc.jwk import JWKRegistry, RSAKey
from joserfc.jws import JWSRegistry

from tests.support.servers import LoopbackServer

EVENT = "http://schemas.openid.net/event/backchannel-logout"
LEEWAY_S = 60
ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})

_open = build_opener(ProxyHandler({})).open
type Json = dict[str, Any]


class RefusedError(Exception):
    """The logout token is not taken."""


def free_port() -> int:
    """Return a port that nothing listens at, from where the kernel takes none by itself."""
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311 - no secret
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class Receiver:
    """``careless`` names the checks that are left out; ``refuses`` those that go beyond what is required.

    It has users who are logged in: GET /profile with their cookie is 200, and 401 for everybody else.
    """

    def __init__(self, issuer: str, *, client_id: str = "receiver-check", alg: str = "RS256") -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.alg = alg
        self.careless: frozenset[str] = frozenset()
        self.refuses: frozenset[str] = frozenset()
        self.status_of_refusal = 400
        self.success = 200
        self.says: Callable[[str], bytes] = lambda why: json.dumps(
            {"error": "invalid_request", "error_description": why}
        ).encode()
        self.headers: dict[str, str] = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        self.sessions: dict[str, tuple[str, str]] = {}
        self.forms: list[Mapping[str, list[str]]] = []
        self._jtis: set[str] = set()
        self._keys: list[Json] = []
        self._server = LoopbackServer(_handler(self))

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def log_in(self, sub: str, sid: str) -> str:
        """Return the cookie of a new login."""
        cookie = f"session={secrets.token_hex(8)}"
        self.sessions[cookie] = (sub, sid)
        return cookie

    def take(self, content_type: str, body: bytes) -> None:
        """Carry out a logout request, or raise RefusedError."""
        if content_type != "application/x-www-form-urlencoded":
            raise RefusedError("not a form")
        form = parse_qs(body.decode("ascii"))
        self.forms.append(form)
        self._refuse("everything", "no", if_=True)
        self._refuse("unknown-parameter", "something-unknown", if_=set(form) > {"logout_token"})
        if "logout_token" not in form:
            self._unless("no-token", "no token")
            return
        try:
            header, claims, signed, signature = _parts(form["logout_token"][0])
        except (ValueError, TypeError):
            self._unless("no-jwt", "not a JWT")
            return
        self._check_header(header)
        self._check_signature(header, signed, signature)
        self._check_claims(claims)
        self._refuse("nobody-there", "not logged in", if_=not self.sessions)
        if "does-nothing" not in self.careless:
            self._end(claims)

    # --- the checks -----------------------------------------------------------------------------------------------------

    def _unless(self, careless: str, why: str) -> None:
        if careless not in self.careless:
            raise RefusedError(why)

    def _refuse(self, what: str, why: str, *, if_: bool) -> None:
        if if_ and what in self.refuses:
            raise RefusedError(why)

    def _check_header(self, header: Json) -> None:
        if "crit" in header:
            self._unless("unknown-crit", "crit is not understood")
        if "crash" in self.careless and header.get("typ") == "at+jwt":
            raise ConnectionAbortedError
        if header.get("typ") not in {None, "JWT", "logout+jwt"}:
            self._unless("other-typ", "typ")
        self._refuse("no-typ", "typ is missing", if_=header.get("typ") is None)
        self._refuse("typ-jwt", "typ", if_=header.get("typ") == "JWT")

    def _check_signature(self, header: Json, signed: bytes, signature: bytes) -> None:
        alg, keys = header["alg"], {key["kid"]: key for key in self._jwks()}
        ours = next(key for key in keys.values() if key["alg"] == self.alg)
        if alg.lower() == "none" and self._takes_unsigned(alg):
            return
        if not signature and alg == self.alg and "signature-removed" in self.careless:
            return
        if alg == "HS256" and "hmac-with-public-key" in self.careless:
            secret = RSAKey.import_key(ours).as_pem(private=False)
            if not hmac.compare_digest(hmac.digest(secret, signed, hashlib.sha256), signature):
                self._unless("signature", "signature")
            return
        if alg != self.alg:
            self._unless("other-algorithm", f"alg {alg}")
        if alg not in ALGORITHMS:
            raise RefusedError(f"alg {alg}")
        key = self._key(header, keys)
        if key and not JWSRegistry(algorithms=[alg]).get_alg(alg).verify(signed, signature, JWKRegistry.import_key(key)):
            self._unless("signature", "signature")

    def _takes_unsigned(self, alg: str) -> bool:
        return ("alg-none" if alg == "none" else "alg-none-spelled-otherwise") in self.careless

    def _key(self, header: Json, keys: Mapping[str, Json]) -> Json | None:
        """Return the key to verify with; nothing, if carelessness asks for none."""
        if header.get("kid") in keys:
            return keys[header["kid"]]
        if "jwk" in header and "key-in-header" in self.careless:
            return dict(header["jwk"])
        if "jku" in header and "key-by-address" in self.careless:
            return dict(_fetch(header["jku"])["keys"][0])
        self._unless("unknown-kid", f"kid {header.get('kid')}")
        return None

    def _check_claims(self, claims: Json) -> None:
        audience = [claims["aud"]] if isinstance(claims.get("aud"), str) else claims.get("aud", [])
        now, issued, events = time(), claims.get("iat"), claims.get("events")
        event = events.get(EVENT, {}) if isinstance(events, dict) else {}
        wrong: Iterable[tuple[str, bool]] = (
            ("no-iss", "iss" not in claims),
            ("other-iss", claims.get("iss", self.issuer) != self.issuer),
            ("no-aud", "aud" not in claims),
            ("other-aud", "aud" in claims and self.client_id not in audience),
            ("more-aud", self.client_id in audience and len(audience) > 1),
            ("no-exp", "exp" not in claims),
            ("expired", claims.get("exp", now) < now - LEEWAY_S),
            ("no-iat", issued is None),
            ("iat-in-the-future", (issued or now) > now + LEEWAY_S),
            ("iat-a-day-ago", (issued or now) < now - 10 * LEEWAY_S and claims.get("exp", now) >= now),
            ("id-token", "events" not in claims and "auth_time" in claims),
            ("no-events", "events" not in claims and "auth_time" not in claims),
            ("events-no-object", events is not None and not isinstance(events, dict)),
            ("other-event", isinstance(events, dict) and EVENT not in events),
            ("event-no-object", not isinstance(event, dict)),
            ("nonce", "nonce" in claims and "auth_time" not in claims),
            ("no-sub-no-sid", not {"sub", "sid"} & set(claims)),
            ("no-jti", "jti" not in claims and "auth_time" not in claims),
            ("replayed", claims.get("jti") in self._jtis),
        )
        for name, is_wrong in wrong:
            if is_wrong:
                self._unless(name, name)
        self._refuse("sid-alone", "no sub", if_="sub" not in claims)
        self._refuse("sub-alone", "no sid", if_="sid" not in claims)
        self._refuse("aud-list", "aud", if_=isinstance(claims.get("aud"), list))
        self._refuse("unknown-claim", "a claim is unknown", if_="receiver-check" in claims)
        self._jtis.add(claims.get("jti", ""))

    def _end(self, claims: Json) -> None:
        for cookie, (sub, sid) in list(self.sessions.items()):
            if claims.get("sid", sid) == sid and claims.get("sub", sub) == sub:
                del self.sessions[cookie]

    def _jwks(self) -> list[Json]:
        if not self._keys:
            discovery = _fetch(f"{self.issuer}/.well-known/openid-configuration")
            assert discovery["issuer"] == self.issuer
            self._keys = _fetch(discovery["jwks_uri"])["keys"]
        return self._keys


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                receiver.take(self.headers["Content-Type"], body)
            except ConnectionAbortedError:
                self.close_connection = True
            except RefusedError as refusal:
                self._answer(receiver.status_of_refusal, receiver.says(str(refusal)))
            else:
                self._answer(receiver.success)

        def do_GET(self) -> None:
            cookies = self.headers.get("Cookie", "").split("; ")
            self._answer(200 if receiver.sessions.keys() & set(cookies) else 401)

        def _answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in {**receiver.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _oauth_error(why: str) -> bytes:
    return json.dumps({"error": "invalid_request", "error_description": why}).encode()


def _parts(token: str) -> tuple[Json, Json, bytes, bytes]:
    head, payload, signature = token.split(".")
    return json.loads(_octets(head)), json.loads(_octets(payload)), f"{head}.{payload}".encode("ascii"), _octets(signature)


def _octets(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _fetch(url: str) -> Json:
    with _open(url, timeout=5) as answer:
        document: Json = json.load(answer)
    return document
