"""What webhook takes in, and what it refuses."""

import gzip
import hashlib
import hmac
import json
import secrets
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from local.client import Response, Stack, event
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.provider import SOURCE, Provider, new_secret
from tests.support.unspeakable import new_id, note

EVENTS = Path(__file__).resolve().parents[2] / "events"
SAMPLE_SID = "aaaaaaaa-0000-4000-8000-000000005e55"
SAMPLE_SUB = "aaaaaaaa-0000-4000-8000-00000000ada1"
SAMPLE_CLIENT = "wiki"


class Keycloak:
    """A source that speaks as Keycloak's event listener does, about one user with one session."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.secret = note(secrets.token_urlsafe(24))
        self.sub = note(str(uuid.uuid4()))
        self.sid = note(str(uuid.uuid4()))
        self.source = f"keycloak-{secrets.token_hex(4)}"
        provider.put_source(self.source, format="keycloak", secret=self.secret)

    def send(self, sample: str, secret: str | None = None, client_id: str = SAMPLE_CLIENT) -> Response:
        text = (EVENTS / f"keycloak-p2inc-{sample}.json").read_text()
        payload = json.loads(text.replace(SAMPLE_SID, self.sid).replace(SAMPLE_SUB, self.sub))
        if "clientId" in payload["authDetails"]:
            payload["authDetails"]["clientId"] = client_id
        body = json.dumps({**payload, "time": round(time.time() * 1000), "uid": str(uuid.uuid4())}, indent=1).encode()
        signature = hmac.digest((secret or self.secret).encode(), body, hashlib.sha256).hex()
        path = f"/webhooks/{self.provider.name}/{self.source}"
        return self.provider.stack.request("POST", path, body=body, headers={"X-Keycloak-Signature": signature})


def assert_problem(response: Response, status: int, code: str) -> None:
    assert (response.status, response.body["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


def test_keycloak_has_to_prove_itself(shared_provider: Provider) -> None:
    response = Keycloak(shared_provider).send("access.LOGOUT", secret="another secret")

    assert_problem(response, 401, "signature_invalid")


def test_while_a_secret_is_replaced_both_are_accepted(shared_provider: Provider, stack: Stack) -> None:
    old, new = new_secret(), new_secret()
    shared_provider.put_source("rotating", format="standard-webhooks", secret=new, previous_secret=old)
    payload = event("session.ended", sid=new_id("sid"))

    statuses = [
        stack.webhook(shared_provider.name, "rotating", secret, secrets.token_hex(8), payload).status
        for secret in (old, new, new_secret())
    ]

    assert statuses == [202, 202, 401]


def test_a_sid_that_is_not_the_one_in_id_tokens_is_not_sent(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, stack: Stack
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    provider.put_source("no-sid", format="standard-webhooks", secret=provider.secret, sid_trust="none")
    provider.put_source("hashed", format="standard-webhooks", secret=provider.secret, sid_trust="sha256")
    for source in ("no-sid", "hashed"):
        sub, sid = new_id("sub"), new_id("sid")
        for kind in ("rp_session.started", "session.ended"):
            payload = event(kind, sub=sub, sid=sid, client_id=client_id if kind == "rp_session.started" else None)
            assert stack.webhook(provider.name, source, provider.secret, secrets.token_hex(8), payload).status == 202
        aws.wait_until_handled(provider.name)

    claims = [verified(provider, token).claims for token in rp.tokens]

    assert [each.get("sid") for each in claims] == [None, hashlib.sha256(sid.encode()).hexdigest()]


def test_a_webhook_without_a_valid_signature_is_refused(shared_provider: Provider, stack: Stack, aws: Aws) -> None:
    sid = new_id("sid")
    payload = event("session.ended", sid=sid)

    forged = stack.webhook(shared_provider.name, SOURCE, new_secret(), "id", payload)
    unsigned = stack.request("POST", f"/webhooks/{shared_provider.name}/{SOURCE}", payload)

    assert_problem(forged, 401, "signature_invalid")
    assert_problem(unsigned, 401, "signature_invalid")
    aws.wait_until_handled(shared_provider.name)
    status, _ = stack.admin("GET", f"{shared_provider.path}/logouts/{shared_provider.logout_of_session(sid)}")
    assert status == 404


@pytest.mark.parametrize(("provider_name", "source"), [("nobody", SOURCE), (None, "nothing")])
def test_an_unknown_provider_or_source_answers_as_a_bad_signature_does(
    shared_provider: Provider, stack: Stack, provider_name: str | None, source: str
) -> None:
    name = provider_name or shared_provider.name

    response = stack.webhook(name, source, shared_provider.secret, "id", event("session.ended", sid="sid"))

    forged = stack.webhook(shared_provider.name, SOURCE, new_secret(), "id", event("session.ended", sid="sid"))
    assert_problem(response, 401, "signature_invalid")
    assert (response.status, response.body) == (forged.status, forged.body)


def test_a_compressed_webhook_is_refused(shared_provider: Provider, stack: Stack) -> None:
    path = f"/webhooks/{shared_provider.name}/{SOURCE}"

    response = stack.request("POST", path, body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})

    assert_problem(response, 415, "content_encoding_unsupported")


TEXTS = {
    "emoji, ZWNJ, NBSP": ("\U0001f469\u200d\U0001f4bb", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "de\u00a0la\u00adcruz"),
    "long": ("s" * 300, "\u7528" * 300, "c#%" * 100),
    "long, with one beginning": ("x" * 2040, "x" * 2040, "x" * 300),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", ["session.ended", "user.sessions_ended"])
def test_who_has_ids_of_any_text_is_logged_out_and_found(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, name: str, kind: str
) -> None:
    rp = relying_party()
    sub, sid, client_id = (text + secrets.token_hex(4) for text in TEXTS[name])
    in_path = quote(quote(client_id, safe=""), safe="")  # the emulator takes one of the two off
    provider.put(f"/clients/{in_path}", {"backchannel_logout_uri": rp.uri(), "allowed_networks": ["127.0.0.0/8"]})

    started = provider.start(client_id, sub=sub, sid=sid)
    ended = provider.webhook(kind, sub=sub, sid=sid)
    aws.wait_until_handled(provider.name)

    assert (started["started"], ended.body["ended"]) == (1, 1)
    claims = verified(provider, *rp.tokens).claims
    assert (claims["sub"], claims.get("sid"), claims["aud"]) == (sub, sid if kind == "session.ended" else None, client_id)
    for query in ({"sub": sub}, {"sid": sid}):
        (session,) = provider.get(f"/sessions?{urlencode(query)}")["sessions"]
        assert (session["client_id"], session["sub"], session["sid"]) == (client_id, sub, sid)
        logout = provider.get(f"/logouts/{session['logout_id']}")
        assert [each["status"] for each in logout["deliveries"]] == ["accepted"]
    (delivery,) = provider.get(f"/deliveries?{urlencode({'client_id': client_id})}")["deliveries"]
    assert (delivery["client_id"], delivery["status"]) == (client_id, "accepted")
    assert provider.get(f"/clients/{in_path}")["circuit"]["state"] == "closed"


def test_sessions_with_ids_of_any_text_are_listed_page_by_page(provider: Provider) -> None:
    sub, sids = "\U0001f469\u200d\U0001f4bb" + new_id("sub"), ["\u7528" * 80, "s" * 300, "\U0001f469" * 300]
    for sid in sids:
        provider.start("\u7528\u6237", sub=sub, sid=sid)

    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while not found or after:
        page = provider.get(f"/sessions?{urlencode({'sub': sub, 'limit': 1, **after})}")
        found += page["sessions"]
        after = {"after": page["next"]} if page["next"] else {}

    assert sorted(each["sid"] for each in found) == sorted(sids)


def test_keycloak_s_own_consoles_are_no_clients_until_they_are_registered(provider: Provider) -> None:
    keycloak = Keycloak(provider)

    before = keycloak.send("access.CODE_TO_TOKEN", client_id="account-console")
    provider.put("/clients/security-admin-console", {})
    registered = keycloak.send("access.CODE_TO_TOKEN", client_id="security-admin-console")

    assert before.body == {"started": 0, "ended": 0, "ignored": 1}
    assert registered.body == {"started": 1, "ended": 0, "ignored": 0}


@pytest.mark.parametrize(("unmatched_sid", "tokens"), [("report", 0), ("end_subject", 1)])
def test_the_end_of_an_unknown_session_means_what_the_source_says(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, unmatched_sid: str, tokens: int
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret, unmatched_sid=unmatched_sid)
    sub = new_id("sub")
    provider.start(client_id, sub=sub, sid=new_id("sid"))

    provider.webhook("session.ended", sid=new_id("other"), sub=sub)
    aws.wait_until_handled(provider.name)

    assert len(rp.tokens) == tokens


@pytest.mark.parametrize(
    "body",
    [b"not json", b"[]", b"{}", b'{"type": 5}', b'{"type": "session.ended", "timestamp": "now", "data": {}}', b""],
)
def test_garbage_with_a_valid_signature_is_malformed(shared_provider: Provider, body: bytes) -> None:
    response = shared_provider.signed(body)

    assert_problem(response, 400, "malformed_request")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"iss": "https://another.example", "sid": "sid"}, "issuer_mismatch"),
        ({"sid": ""}, "identifier_invalid"),
        ({"sid": "s" * 2049}, "identifier_invalid"),
        ({"sid": 5}, "identifier_invalid"),
        ({"sid": "line\nbreak"}, "identifier_invalid"),
        ({"sid": "half a pair \ud800"}, "identifier_invalid"),
        ({}, "identifier_invalid"),
    ],
)
def test_an_event_that_cannot_be_meant_is_refused(shared_provider: Provider, data: dict[str, Any], code: str) -> None:
    response = shared_provider.webhook("session.ended", **data)

    assert_problem(response, 400, code)


def test_an_event_from_the_future_is_refused(shared_provider: Provider) -> None:
    payload = event("session.ended", sid=new_id("sid")) | {"timestamp": "2999-01-01T00:00:00Z"}

    response = shared_provider.signed(json.dumps(payload).encode())

    assert_problem(response, 400, "event_time_invalid")


def test_an_event_of_an_unknown_type_is_ignored(shared_provider: Provider) -> None:
    response = shared_provider.webhook("user.renamed", sub=new_id("sub"))

    assert (response.status, response.body) == (202, {"started": 0, "ended": 0, "ignored": 1})


def test_the_issuer_may_be_named(shared_provider: Provider) -> None:
    response = shared_provider.webhook("session.ended", sid=new_id("sid"), iss=shared_provider.issuer)

    assert response.status == 202


def test_a_body_in_utf_8_is_verified_as_it_came(shared_provider: Provider) -> None:
    payload = event("session.ended", sid=new_id("sid"), sub="zoë", reason="ausgelöst")

    response = shared_provider.signed(json.dumps(payload, ensure_ascii=False).encode())

    assert response.status == 202
