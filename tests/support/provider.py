"""An OpenID Provider as the service knows it: its operator with the admin API, its sessions with signed webhooks."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded, logout_id
from local.client import Response, Stack, event
from tests.support.polling import until
from tests.support.relying_party import RelyingParty
from tests.support.unspeakable import note

SOURCE = "app"
LOOPBACK = ["127.0.0.0/8"]

type Json = dict[str, Any]


def new_secret() -> str:
    """Return a Standard Webhooks secret."""
    return note("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())


def issuer_of(provider: str) -> str:
    """Return the issuer of a provider of these tests; nobody listens there."""
    return f"http://127.0.0.1:9/{provider}"


class Provider:
    """A provider that no other test uses, with a source of generic events; ``name`` is in all its paths."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.name = f"p-{secrets.token_hex(6)}"
        self.path = f"/providers/{self.name}"
        self.issuer = issuer_of(self.name)
        self.secret = new_secret()

    def create(self) -> None:
        self.put("", {"issuer": self.issuer})
        self.put_source(SOURCE, format="standard-webhooks", secret=self.secret)

    # --- the operator -------------------------------------------------------------------------------------------------

    def put(self, path: str, document: Json) -> Json:
        return self._admin("PUT", path, document)

    def get(self, path: str) -> Json:
        return self._admin("GET", path)

    def post(self, path: str, document: Json) -> Json:
        return self._admin("POST", path, document)

    def put_source(self, source: str, **metadata: Any) -> None:
        self.put(f"/sources/{source}", metadata)

    def register_client(self, relying_party: RelyingParty | str, client_id: str | None = None, **metadata: Any) -> str:
        """Register a relying party, or one by its URI; return its ``client_id``."""
        client_id = client_id or f"client-{secrets.token_hex(4)}"
        uri = relying_party if isinstance(relying_party, str) else relying_party.uri()
        self.put(f"/clients/{client_id}", {"backchannel_logout_uri": uri, "allowed_networks": LOOPBACK, **metadata})
        return client_id

    def ring(self, **wanted: object) -> list[Json]:
        """Return the keys of the ring that have these members."""
        keys: list[Json] = self.get("/keys")["keys"]
        return [key for key in keys if wanted.items() <= key.items()]

    def redeliver(self, logout: str) -> int:
        """Send again what is not accepted, of a logout with few deliveries; return how many that are."""
        answer = self.post(f"/logouts/{logout}/redeliveries", {})
        assert answer["next"] is None
        queued: int = answer["queued"]
        return queued

    def deliveries(self, logout: str) -> list[Json]:
        """Return the deliveries of a logout, none as long as there is no such logout."""
        status, answer = self.stack.admin("GET", f"{self.path}/logouts/{logout}")
        assert status in {200, 404}, answer
        deliveries: list[Json] = answer.get("deliveries", [])
        return deliveries

    def rp_sessions(self, **query: str) -> list[Json]:
        (condition,) = query.items()
        sessions: list[Json] = self.get("/sessions?{}={}".format(*condition))["sessions"]
        return sessions

    def import_sessions(self, sessions: Iterable[Json]) -> None:
        """Report, in one call, RP sessions that start now."""
        at = datetime.now(UTC).isoformat()
        body = "\n".join(json.dumps({**each, "started_at": at}) for each in sessions).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        answer = self.stack.request("POST", f"{self.path}/sessions", body=body, headers=headers, signed=True)
        assert (answer.status, answer.body["refused"]) == (202, []), answer

    # --- its sessions -------------------------------------------------------------------------------------------------

    def webhook(self, kind: str, *, at: datetime | None = None, event_id: str | None = None, **data: Any) -> Response:
        event_id = event_id or secrets.token_hex(8)
        return self.stack.webhook(self.name, SOURCE, self.secret, event_id, event(kind, at, **data))

    def signed(self, body: bytes) -> Response:
        """Send any octets as a webhook with a valid signature."""
        headers = self.signature(body, secrets.token_hex(8))
        return self.stack.request("POST", f"/webhooks/{self.name}/{SOURCE}", body=body, headers=headers)

    def signature(self, body: bytes, event_id: str) -> dict[str, str]:
        """Return the headers that prove a webhook."""
        now = str(int(time.time()))
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signature = base64.b64encode(hmac.digest(key, f"{event_id}.{now}.".encode() + body, hashlib.sha256)).decode()
        return {"webhook-id": event_id, "webhook-timestamp": now, "webhook-signature": f"v1,{signature}"}

    def start(self, client_id: str, *, sub: str, sid: str | None = None, at: datetime | None = None, **data: Any) -> Json:
        """Report that an RP session started; return the counts that the webhook was answered with."""
        if sid is not None:
            data["sid"] = sid
        return _taken(self.webhook("rp_session.started", at=at, sub=sub, client_id=client_id, **data))

    def end_session(self, sid: str, *, at: datetime | None = None, event_id: str | None = None, **data: Any) -> str:
        """Report that a session ended; return the logout's id."""
        event_id = event_id or secrets.token_hex(8)
        _taken(self.webhook("session.ended", at=at, event_id=event_id, sid=sid, **data))
        return self.logout_of_session(sid, event_id, data.get("client_id"))

    def logout_of_session(self, sid: str, event_id: str = "", client_id: str | None = None) -> str:
        """Return the id of the logout that the end of a session is carried out as."""
        return logout_id(self.issuer, SessionEnded(sid, 0, event_id, client_id))

    def end_subject(self, sub: str, *, at: datetime | None = None, event_id: str | None = None, **data: Any) -> str:
        """Report that all sessions of a subject ended; return the logout's id."""
        event_id = event_id or secrets.token_hex(8)
        _taken(self.webhook("user.sessions_ended", at=at, event_id=event_id, sub=sub, **data))
        return logout_id(self.issuer, SubjectSessionsEnded(sub, 0, event_id, data.get("client_id")))

    # --- waiting ------------------------------------------------------------------------------------------------------

    def wait_for(self, logout: str, holds: Callable[[list[Json]], object], *, seconds: float = 20) -> list[Json]:
        """Wait until the deliveries of a logout are as wanted."""
        return until(lambda: self.deliveries(logout), holds=holds, seconds=seconds)

    def wait_until(self, logout: str, *statuses: str, seconds: float = 20) -> list[Json]:
        """Wait until the deliveries of a logout have these statuses, and no others."""
        wanted = sorted(statuses)
        return self.wait_for(logout, lambda found: sorted(each["status"] for each in found) == wanted, seconds=seconds)

    def _admin(self, method: str, path: str, document: Json | None = None) -> Json:
        status, answer = self.stack.admin(method, self.path + path, document)
        assert 200 <= status < 300, (method, path, answer)
        return answer if isinstance(answer, dict) else {}


def _taken(response: Response) -> Json:
    assert response.status == 202, response
    counts: Json = response.body
    return counts
