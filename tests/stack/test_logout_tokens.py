"""The provider's own logout tokens: received, carried out, and passed on as they are."""

import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import OctKey, RSAKey

from local.client import Response, Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.logout_tokens import SENDERS, TokenSigner, unsigned
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id, note
from tests.support.upstream import JWKS, UpstreamServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
REFUSED = {"error": "invalid_request", "error_description": "no logout token that is valid here"}


@dataclass
class Relay:
    """A provider with keys of its own, and a source for its logout tokens."""

    provider: Provider
    server: UpstreamServer
    signer: TokenSigner
    metadata: Json = field(default_factory=dict)

    def configure(self, **metadata: Any) -> None:
        self.provider.put_source("relay", format="logout-token", **metadata)

    def send(self, token: str, source: str = "relay") -> Response:
        note(token)
        body = urlencode({"logout_token": token}).encode()
        return self.provider.stack.request("POST", f"/webhooks/{self.provider.name}/{source}", body=body, headers=FORM)

    def logout(self, sid: str) -> str:
        return self.provider.logout_of_session(sid)


@pytest.fixture
def relay(stack: Stack) -> Iterator[Relay]:
    provider = Provider(stack)
    with UpstreamServer(provider.issuer) as server:
        signer = TokenSigner(provider.issuer)
        server.pages[JWKS] = signer.jwk_set
        provider.put("", {"issuer": provider.issuer, "upstream": server.upstream})
        relay = Relay(provider, server, signer)
        relay.configure(pass_on=True, tolerate_missing_exp=True)
        yield relay


@pytest.mark.parametrize("sender", SENDERS)
def test_a_client_is_sent_the_provider_s_token_as_it_came(relay: Relay, relying_party: MakeRelyingParty, sender: str) -> None:
    rp, sid = relying_party(), new_id("sid")
    client_id = relay.provider.register_client(rp, own_tokens=False)
    token = relay.signer.of(sender, client_id, sid=sid, sub=new_id("sub"))

    answer = relay.send(token)

    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    (delivery,) = relay.provider.wait_until(relay.logout(sid), "accepted")
    assert rp.tokens == [token]
    assert (delivery["attempts"], delivery["sid"]) == (1, sid)
    assert relay.provider.ring() == []


def test_tokens_for_the_clients_of_one_session_reach_each_of_them_once(
    relay: Relay, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    sid, sub = new_id("sid"), new_id("sub")
    rps = {relay.provider.register_client(rp, own_tokens=False): rp for rp in (relying_party() for _ in range(4))}
    tokens = {client_id: relay.signer.sign(relay.signer.claims(client_id, sid=sid, sub=sub)) for client_id in rps}

    threads = [threading.Thread(target=relay.send, args=(token,)) for token in [*tokens.values(), *tokens.values()]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    relay.provider.wait_until(relay.logout(sid), *["accepted"] * 4)
    aws.wait_until_handled(relay.provider.name)
    assert {client_id: rp.tokens for client_id, rp in rps.items()} == {each: [tokens[each]] for each in rps}


def test_a_token_ends_the_session_for_every_client_that_is_known(relay: Relay, relying_party: MakeRelyingParty) -> None:
    sid, sub = new_id("sid"), new_id("sub")
    told, trusting, waiting = relying_party(), relying_party(), relying_party()
    told_id = relay.provider.register_client(told, own_tokens=False)
    others = [relay.provider.register_client(trusting), relay.provider.register_client(waiting, own_tokens=False)]
    sessions = [{"sub": sub, "sid": sid, "client_id": client_id} for client_id in others]
    for session in sessions:
        relay.provider.post("/sessions", session)
    first, second = (relay.signer.sign(relay.signer.claims(each, sid=sid, sub=sub)) for each in (told_id, others[1]))

    relay.send(first)
    until(lambda: told.tokens == [first] and len(trusting.tokens) == 1, seconds=20)
    assert waiting.tokens == []
    relay.send(second)

    relay.provider.wait_until(relay.logout(sid), "accepted", "accepted", "accepted", seconds=40)
    assert waiting.tokens == [second]
    assert trusting.tokens[0] not in {first, second}


def test_a_token_without_sid_ends_its_subject_s_sessions_at_its_client(relay: Relay, relying_party: MakeRelyingParty) -> None:
    sub, rp, other = new_id("sub"), relying_party(), relying_party()
    client_id, other_id = relay.provider.register_client(rp, own_tokens=False), relay.provider.register_client(other)
    for each in (client_id, other_id):
        relay.provider.post("/sessions", {"sub": sub, "sid": new_id("sid"), "client_id": each})
    token = relay.signer.sign(relay.signer.claims(client_id, sid=None, sub=sub))

    assert relay.send(token).status == 200

    until(lambda: rp.tokens == [token], seconds=20)
    ended = {each["client_id"]: each["ended_at"] is not None for each in relay.provider.rp_sessions(sub=sub)}
    assert ended == {client_id: True, other_id: False}
    assert other.tokens == []


@pytest.mark.waits
def test_one_client_s_tokens_can_stand_for_all(relay: Relay, relying_party: MakeRelyingParty) -> None:
    sid, rp = new_id("sid"), relying_party()
    client_id = relay.provider.register_client(rp)
    relay.configure(audience="hub")
    relay.provider.post("/sessions", {"sub": new_id("sub"), "sid": sid, "client_id": client_id})

    until(lambda: relay.send(relay.signer.sign(relay.signer.claims("hub", sid=sid))).status == 200, seconds=70)

    relay.provider.wait_until(relay.logout(sid), "accepted")
    assert len(rp.tokens) == 1


@pytest.mark.waits
def test_a_token_that_runs_out_is_the_end_of_its_delivery_and_is_gone(
    relay: Relay, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    sid, rp = new_id("sid"), relying_party(Answer(503))
    client_id = relay.provider.register_client(rp, own_tokens=False)
    trusting = relying_party(Answer(503), Answer(503), Answer(200))
    trusting_id = relay.provider.register_client(trusting)
    tokens = [relay.signer.sign(relay.signer.claims(each, sid=sid, lives=30)) for each in (client_id, trusting_id)]
    for token in tokens:
        assert relay.send(token).status == 200
    kept = str(aws.client("dynamodb").scan(TableName=aws.physical_id("DeliveriesTable"))["Items"])
    assert tokens[0] in kept

    relay.provider.wait_for(
        relay.logout(sid), lambda found: [each for each in found if each["status"] == "undeliverable"], seconds=40
    )
    deliveries = {each["client_id"]: each for each in relay.provider.deliveries(relay.logout(sid))}

    assert (deliveries[client_id]["last_code"], deliveries[client_id]["last_status_code"]) == ("passed_on_token_expired", 503)
    assert set(rp.tokens) == {tokens[0]}
    assert tokens[0] not in str(aws.client("dynamodb").scan(TableName=aws.physical_id("DeliveriesTable"))["Items"])
    assert all(token not in json.dumps(relay.provider.get(f"/logouts/{relay.logout(sid)}")) for token in tokens)
    until(lambda: len(trusting.tokens) == 3, seconds=60)
    assert trusting.tokens[0] == tokens[1]
    assert trusting.tokens[2] != tokens[1], "a token of ours"


def test_after_a_rotation_the_new_key_is_found_at_once(relay: Relay, relying_party: MakeRelyingParty) -> None:
    client_id = relay.provider.register_client(relying_party(), own_tokens=False)
    relay.send(relay.signer.sign(relay.signer.claims(client_id, sid=new_id("sid"))))
    new = RSAKey.generate_key(2048, {"kid": "rsa-2"})
    relay.server.pages[JWKS] = {"keys": [*relay.signer.jwk_set["keys"], new.as_dict(private=False)]}

    def send() -> bool:
        return relay.send(relay.signer.sign(relay.signer.claims(client_id, sid=new_id("sid")), new)).status == 200

    until(send, seconds=20)
    fetched = relay.server.requests[JWKS]
    stranger = RSAKey.generate_key(2048, {"kid": "stranger"})
    for _ in range(5):
        relay.send(relay.signer.sign(relay.signer.claims(client_id), stranger))
    assert relay.server.requests[JWKS] <= fetched + 1


@pytest.mark.alone
@pytest.mark.parametrize(
    ("action", "table"), [("GetItem", "SenderDocuments"), ("UpdateItem", "SenderDocuments"), ("UpdateItem", "Deliveries")]
)
def test_without_the_permission_the_provider_is_told_to_come_again(relay: Relay, aws: Aws, action: str, table: str) -> None:
    client_id = relay.provider.register_client("https://rp.example/logout", own_tokens=False)
    token = relay.signer.sign(relay.signer.claims(client_id, sid=new_id("sid")))
    with aws.without("WebhookRole", f"dynamodb:{action}", table):
        refused = relay.send(token)

    assert (refused.status, refused.body["code"]) == (503, "storage_unavailable")
    assert relay.send(token).status == 200


PAGE = Path(__file__).resolve().parents[2] / "docs" / "providers" / "relay.md"


def test_whoever_follows_the_page_of_the_relay_has_one(stack: Stack, relying_party: MakeRelyingParty) -> None:
    provider, rp = Provider(stack), relying_party()
    with UpstreamServer(provider.issuer) as server:
        signer = TokenSigner(provider.issuer)
        server.pages[JWKS] = signer.jwk_set
        theirs = {
            "https://idp.example/.well-known/openid-configuration": server.upstream["discovery"],
            "https://idp.example/": provider.issuer,
            "https://wiki.example/logout": rp.uri(),
            "/providers/acme": provider.path,
            '"own_tokens": false': '"own_tokens": false, "allowed_networks": ["127.0.0.0/8"]',  # RPs are elsewhere than here
        }
        text = PAGE.read_text()
        for written, meant in theirs.items():
            assert written in text
            text = text.replace(written, meant)
        requests = re.findall(r"```http\n *(\w+) (\S+)\n(.*?) *```", text, re.DOTALL)

        configured = [stack.admin(verb, path, json.loads(body)) for verb, path, body in requests if body]
        relay = Relay(provider, server, signer)
        token = signer.sign(signer.claims("wiki", sid=new_id("sid")))

        assert [status for status, _ in configured] == [201, 200, 200]
        assert relay.send(token).status == 200
        until(lambda: rp.tokens == [token], seconds=20)
        (shown,) = [path for _, path, body in requests if not body]
        until(lambda: [each["status"] for each in stack.admin("GET", shown)[1]["deliveries"]] == ["accepted"], seconds=20)


BAD: dict[str, Any] = {
    "another key": lambda s, c: s.sign(s.claims(c), RSAKey.generate_key(2048, {"kid": "rsa"})),
    "unknown kid": lambda s, c: s.sign(s.claims(c), RSAKey.generate_key(2048, {"kid": "stranger"})),
    "nonce": lambda s, c: s.sign(s.claims(c, nonce="n")),
    "aud": lambda s, c: s.sign(s.claims(f"{c}-unknown")),
    "iss": lambda s, c: s.sign(s.claims(c, iss="https://other.example/")),
    "HS256": lambda s, c: s.sign(s.claims(c), OctKey.generate_key(256, {"kid": "rsa"}), alg="HS256"),
    "none": lambda s, c: unsigned(s.claims(c)),
    "no events": lambda s, c: s.sign(s.claims(c, events=None)),
    "other events": lambda s, c: s.sign(s.claims(c, events={"http://schemas.openid.net/event/other": {}})),
    "expired": lambda s, c: s.sign(s.claims(c, iat=1_700_000_000, exp=1_700_000_120)),
    "neither sub nor sid": lambda s, c: s.sign(s.claims(c, sub=None, sid=None)),
    "no token": lambda _s, _c: "a.b.c",
}


@pytest.fixture(scope="module")
def strict(stack: Stack) -> Iterator[Relay]:
    provider = Provider(stack)
    provider.create()
    with UpstreamServer(provider.issuer) as server:
        signer = TokenSigner(provider.issuer)
        server.pages[JWKS] = signer.jwk_set
        provider.put("", {"issuer": provider.issuer, "upstream": server.upstream})
        provider.put("/clients/wiki", {})
        relay = Relay(provider, server, signer)
        relay.configure(pass_on=True)
        yield relay


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_valid_is_answered_400(strict: Relay, name: str) -> None:
    answer = strict.send(BAD[name](strict.signer, "wiki"))

    assert (answer.status, answer.body, answer.headers["cache-control"]) == (400, REFUSED, "no-store")


def test_nobody_finds_out_which_sources_there_are(strict: Relay) -> None:
    token = strict.signer.sign(strict.signer.claims("wiki"), RSAKey.generate_key(2048, {"kid": "rsa"}))
    sources = ("relay", "app", f"none-{secrets.token_hex(4)}")
    path, send = f"/webhooks/{strict.provider.name}", strict.provider.stack.request
    forms = [strict.send(token, source) for source in sources]
    forms += [
        send("POST", f"{path}/{source}", body=body, headers=FORM)
        for body in (b"", b"&a=1" * 5000, b"logout_token=" + b"%41" * 1_300_000)
        for source in sources
    ]
    others = [send("POST", f"{path}/{source}", {}) for source in sources]
    others += [send("POST", f"{path}/{source}", body=b'{"id": "e1"}', headers=FORM) for source in sources]

    assert {(each.status, json.dumps(each.body)) for each in forms} == {(400, json.dumps(REFUSED))}
    assert {each.status for each in others} == {401}
    assert len({json.dumps(each.body) for each in others}) == 1


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ({"format": "logout-token", "secret": "a secret of some length"}, "secret"),
        ({"format": "logout-token", "sid_trust": "none"}, "sid_trust"),
        ({"format": "logout-token", "pass_on": True, "audience": "hub"}, "audience"),
        ({"format": "keycloak", "secret": "kc-synthetic", "pass_on": True}, "pass_on"),
        ({"format": "keycloak"}, "secret"),
    ],
)
def test_settings_that_contradict_the_format_are_refused(strict: Relay, source: Json, word: str) -> None:
    status, answer = strict.provider.stack.admin("PUT", f"{strict.provider.path}/sources/other", source)

    assert (status, answer["code"]) == (400, "registration_invalid")
    assert word in answer["detail"]


def test_without_the_provider_s_keys_the_source_is_refused(shared_provider: Provider) -> None:
    status, answer = shared_provider.stack.admin("PUT", f"{shared_provider.path}/sources/relay", {"format": "logout-token"})

    assert (status, answer["code"]) == (400, "registration_invalid")
    assert "upstream" in answer["detail"]


def test_a_preview_shows_what_a_token_would_end_at_registered_clients_alone(relay: Relay) -> None:
    claims = relay.signer.claims("wiki", sub=new_id("sub"), sid=None) | {"aud": ["wiki", "unknown"]}
    path = f"{relay.provider.path}/sources/relay/preview"
    nobody = relay.provider.stack.admin("POST", path, {"payload": claims})
    relay.provider.register_client("https://wiki.example/logout", "wiki", own_tokens=False)

    shown = relay.provider.stack.admin("POST", path, {"payload": claims})

    assert (nobody[0], nobody[1]["code"]) == (400, "logout_token_invalid")
    assert (shown[0], [each["client_id"] for each in shown[1]["events"]]) == (200, ["wiki"])
