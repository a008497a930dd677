"""docs/providers/keycloak.md: its requests are made; those to Keycloak configure an imitation of the extension."""

import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlencode

import pytest

from local.client import Response, Stack
from tests.support.keycloak import Listener
from tests.support.logout_tokens import TokenSigner
from tests.support.provider import LOOPBACK, Json, Provider
from tests.support.relying_party import RelyingParty
from tests.support.snippets import exchanges
from tests.support.unspeakable import new_id, note
from tests.support.upstream import DISCOVERY, JWKS, UpstreamServer
from tests.unit.fakes import sample

pytestmark = pytest.mark.senders

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "providers" / "keycloak.md").read_text()
SECRET = "<a long random text>"
SUB, SID = "aaaaaaaa-0000-4000-8000-00000000ada1", "aaaaaaaa-0000-4000-8000-000000005e55"


@dataclass
class Realm:
    """A provider as the document configures it, and the realm's webhooks by the source that they lead to."""

    provider: Provider
    signer: TokenSigner
    rps: dict[str, RelyingParty]
    secret: str
    listeners: dict[str, Listener] = field(default_factory=dict)

    def here(self, text: str) -> str:
        names = {
            "https://kc.example.com/realms/customer": self.provider.issuer,
            "/providers/customer": self.provider.path,
            "/webhooks/customer": f"/webhooks/{self.provider.name}",
            "https://<api>": self.provider.stack.api_url,
            SECRET: self.secret,
        }
        for there, name in names.items():
            text = text.replace(there, name)
        return text

    def configure(self) -> None:
        for exchange in exchanges(DOCUMENT):
            if exchange.path == "/realms/customer/webhooks":
                webhook = json.loads(self.here(dedent(exchange.body)))
                assert webhook["enabled"]
                source = webhook["url"].removeprefix(f"{self.provider.stack.api_url}/webhooks/{self.provider.name}/")
                self.listeners[source] = Listener(webhook, self.signer)
                continue
            path, body = self.here(exchange.path), self.here(exchange.body)
            answer = self.provider.stack.request(exchange.method, path, body=body.encode(), signed=True)
            assert answer.status in {200, 201}, (exchange, answer)
            _, is_client, client_id = path.partition("/clients/")
            if is_client:
                rp = {"backchannel_logout_uri": self.rps[client_id].uri(), "allowed_networks": LOOPBACK}
                self.provider.put(f"/clients/{client_id}", {**json.loads(body), **rp})

    def send(self, source: str, name: str, changed: Json | None = None, **claims: Any) -> Response:
        event = {**sample(f"keycloak-p2inc-{name}.json"), "time": round(time.time() * 1000), "uid": str(uuid.uuid4())}
        listener, body = self.listeners[source], json.dumps({**event, **(changed or {})}, separators=(",", ":")).encode()
        assert listener.sends(event["type"])
        return self.post(source, body, listener.headers(body, **claims))

    def post(self, source: str, body: bytes, headers: Json) -> Response:
        return self.provider.stack.request("POST", f"/webhooks/{self.provider.name}/{source}", body=body, headers=headers)


@pytest.fixture(scope="module")
def realm(stack: Stack) -> Iterator[Realm]:
    provider = Provider(stack)
    base = "/realms/customer"
    with UpstreamServer("") as server, RelyingParty() as wiki, RelyingParty() as mail:
        provider.issuer = server.url + base
        signer = TokenSigner(provider.issuer)
        metadata = server.pages[DISCOVERY]
        assert isinstance(metadata, dict)
        metadata |= {"issuer": provider.issuer}
        server.pages |= {base + DISCOVERY: metadata, JWKS: signer.jwk_set}
        realm = Realm(provider, signer, {"wiki": wiki, "mail": mail}, note(secrets.token_urlsafe(24)))
        realm.configure()
        yield realm


def people(**session: str) -> Json:
    """Return the details of an event with ids of a test's own."""
    return {"authDetails": {**sample("keycloak-p2inc-access.CODE_TO_TOKEN.json")["authDetails"], **session}}


SOURCES = ["events", "events-hmac"]


@pytest.mark.parametrize("source", SOURCES)
def test_what_the_document_configures_starts_and_ends_sessions(realm: Realm, source: str) -> None:
    sid = new_id("sid")
    who = people(userId=new_id("sub"), sessionId=sid)

    started, ended = (realm.send(source, name, who) for name in ("access.CODE_TO_TOKEN", "access.LOGOUT"))

    assert (started.status, started.body) == (202, {"started": 1, "ended": 0, "ignored": 0})
    assert (ended.status, ended.body) == (202, {"started": 0, "ended": 1, "ignored": 0})
    realm.provider.wait_until(realm.provider.logout_of_session(sid), "accepted")


@pytest.mark.parametrize("source", SOURCES)
def test_a_client_that_wants_to_is_told_of_a_session_that_expired(realm: Realm, source: str) -> None:
    sid = new_id("sid")
    who = people(userId=new_id("sub"), sessionId=sid)
    realm.send(source, "access.CODE_TO_TOKEN", who)

    realm.send(source, "access.USER_SESSION_DELETED", {**who, "details": {"reason": "user_session_expired"}})

    logout = realm.provider.logout_of_session(sid)
    realm.provider.wait_until(logout, "accepted")
    assert realm.provider.get(f"/logouts/{logout}")["reason"] == "expired"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://kc.example.com/realms/master"},
        {"aud": "wiki"},
        {"exp": int(time.time()) - 1},
        {"request_body_sha256": hashlib.sha256(b"{}").hexdigest()},
        {"request_body_sha256": None},
    ],
)
def test_a_jwt_for_another_realm_source_time_or_body_is_refused(realm: Realm, claims: Json) -> None:
    answer = realm.send("events", "access.LOGOUT", **claims)

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")


def test_an_id_token_of_the_realm_is_no_proof(realm: Realm) -> None:
    now = int(time.time())
    token = realm.signer.sign(
        {"iss": realm.provider.issuer, "aud": "backchannel", "sub": SUB, "iat": now, "exp": now + 300}, typ="JWT"
    )

    answer = realm.post("events", b"{}", {"Authorization": f"Bearer {note(token)}"})

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")


def test_no_source_takes_the_other_ones_proof(realm: Realm) -> None:
    body = json.dumps(sample("keycloak-p2inc-access.LOGOUT.json")).encode()
    other = {"events": "events-hmac", "events-hmac": "events"}

    answers = [realm.post(source, body, realm.listeners[other[source]].headers(body)) for source in SOURCES]

    assert [(each.status, each.body["code"]) for each in answers] == [(401, "signature_invalid")] * 2


def test_sha_1_is_refused_by_its_name_and_as_a_signature(realm: Realm) -> None:
    body = json.dumps(sample("keycloak-p2inc-access.LOGOUT.json")).encode()
    old = Listener({**realm.listeners["events-hmac"].webhook, "algorithm": "HmacSHA1"}, realm.signer)
    metadata = {"format": "keycloak", "secret": realm.secret, "algorithm": "HmacSHA1"}

    status, problem = realm.provider.stack.admin("PUT", f"{realm.provider.path}/sources/old", metadata)
    answer = realm.post("events-hmac", body, old.headers(body))

    assert (status, problem["code"]) == (400, "registration_invalid")
    assert "HmacSHA1 is refused" in problem["detail"]
    assert "HmacSHA256" in problem["detail"]
    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")


def test_what_a_source_says_of_itself_can_be_put_again(realm: Realm) -> None:
    for source in SOURCES:
        shown = realm.provider.get(f"/sources/{source}")
        again = {name: value for name, value in shown.items() if name in PUT_AGAIN}

        realm.provider.put_source(source, **again, **({"secret": realm.secret} if source == "events-hmac" else {}))

        assert {name: realm.provider.get(f"/sources/{source}")[name] for name in again} == again


PUT_AGAIN = frozenset({"format", "algorithm", "audience", "realm", "token_issuer", "jwks_uri", "sid_trust"})


def test_its_own_logout_token_and_its_event_are_one_logout_and_each_client_is_told_once(realm: Realm) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    for client_id in ("wiki", "mail"):
        realm.send("events", "access.CODE_TO_TOKEN", people(userId=sub, sessionId=sid, clientId=client_id))
    before = {client_id: len(rp.tokens) for client_id, rp in realm.rps.items()}
    tokens = {client_id: note(realm.signer.of("keycloak", client_id, sid=sid, sub=sub)) for client_id in ("wiki", "mail")}

    for token in tokens.values():
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert realm.post("relay", urlencode({"logout_token": token}).encode(), form).status == 200
    realm.send("events", "access.LOGOUT", people(userId=sub, sessionId=sid))

    realm.provider.wait_until(realm.provider.logout_of_session(sid), "accepted", "accepted", seconds=40)
    assert realm.rps["mail"].tokens[before["mail"] :] == [tokens["mail"]]
    assert len(realm.rps["wiki"].tokens) == before["wiki"] + 1
