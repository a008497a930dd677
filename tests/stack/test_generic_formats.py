"""The generic formats through the deployed stack: who is believed, and what each sample causes."""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import ECKey

from backchannel.tokens.document_store import RETRY
from local.client import Response
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.key_server import KeyServer
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider, new_secret
from tests.support.unspeakable import new_id, note
from tests.unit.fakes import sample

pytestmark = pytest.mark.senders

ROOT = Path(__file__).resolve().parents[2]
AUDIENCE = "backchannel-hub"
KEY = ECKey.generate_key("P-256", {"kid": "hub", "alg": "ES256", "use": "sig"})

type Send = Callable[[Json], Response]


class Senders:
    """One sender of each generic format, with sources of a provider."""

    def __init__(self, provider: Provider, keys: KeyServer) -> None:
        self.provider = provider
        self.static = note(secrets.token_urlsafe(32))
        self.private = Ed25519PrivateKey.generate()
        public = base64.b64encode(self.private.public_key().public_bytes_raw()).decode()
        provider.put_source("static", format="bearer", secret=self.static)
        provider.put_source("ed25519", format="standard-webhooks", secret=f"whpk_{public}")
        provider.put_source("jwt", format="signed-jwt", audience=AUDIENCE, jwks_uri=keys.uri)

    def post(self, source: str, body: bytes, **headers: str) -> Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.provider.stack.request("POST", f"/webhooks/{self.provider.name}/{source}", body=body, headers=sent)

    def hmac(self, document: Json) -> Response:
        stack = self.provider.stack
        return stack.webhook(self.provider.name, SOURCE, self.provider.secret, secrets.token_hex(8), document)

    def bearer(self, document: Json) -> Response:
        body = json.dumps({"id": secrets.token_hex(8), **document}).encode()
        return self.post("static", body, authorization=f"Bearer {self.static}")

    def ed25519(self, document: Json) -> Response:
        body, event_id, now = json.dumps(document).encode(), secrets.token_hex(8), str(int(time.time()))
        signature = base64.b64encode(self.private.sign(f"{event_id}.{now}.".encode() + body)).decode()
        return self.post("ed25519", body, webhook_id=event_id, webhook_timestamp=now, webhook_signature=f"v1a,{signature}")

    def token(self, document: Json, **claims: Any) -> str:
        own = {"iss": self.provider.issuer, "aud": AUDIENCE, "exp": int(time.time()) + 300, "jti": secrets.token_hex(8)}
        return jwt.encode({"alg": "ES256", "kid": "hub"}, {**document, **own, **claims}, KEY)

    def jwt(self, document: Json) -> Response:
        return self.post("jwt", json.dumps({"token": self.token(document)}).encode())

    def bare_jwt(self, document: Json) -> Response:
        return self.post("jwt", self.token(document).encode(), content_type="application/jwt")


@pytest.fixture
def senders(provider: Provider) -> Iterator[Senders]:
    with KeyServer(KEY.as_dict(private=False)) as keys:
        yield Senders(provider, keys)


def of_now(name: str, **data: Any) -> Json:
    """Return a sample as if it happened now, to somebody whom no other test knows."""
    document = sample(name)
    return {**document, "timestamp": datetime.now(UTC).isoformat(), "data": {**document["data"], **data}}


@pytest.mark.parametrize(
    ("sender", "status"), [("hmac", 202), ("ed25519", 202), ("bearer", 200), ("jwt", 200), ("bare_jwt", 200)]
)
def test_each_generic_format_starts_and_ends_sessions(
    senders: Senders, relying_party: MakeRelyingParty, aws: Aws, sender: str, status: int
) -> None:
    rp = relying_party()
    client_id = senders.provider.register_client(rp)
    send: Send = getattr(senders, sender)
    sub, sid = new_id("sub"), new_id("sid")

    started = send(of_now("authentik-mapping-rp_session.started.json", sub=sub, sid=sid, client_id=client_id))
    ended = send(of_now("authentik-mapping-user.sessions_ended.json", sub=sub))
    tested = send(of_now("authentik-mapping-test.json"))
    aws.wait_until_handled(senders.provider.name)

    assert [each.status for each in (started, ended, tested)] == [status] * 3
    assert started.body == {"started": 1, "ended": 0, "ignored": 0}
    assert ended.body == {"started": 0, "ended": 1, "ignored": 0}
    assert tested.body == {"started": 0, "ended": 0, "ignored": 1}
    claims = verified(senders.provider, *rp.tokens).claims
    assert (claims["sub"], claims.get("sid")) == (sub, None)


@pytest.mark.parametrize(
    "claims",
    [{"aud": "another"}, {"iss": "https://other.example"}, {"exp": int(time.time()) - 1}, {"type": None}, {"jti": ""}],
)
def test_a_token_for_another_purpose_is_refused(senders: Senders, claims: Json) -> None:
    token = senders.token(of_now("authentik-mapping-user.sessions_ended.json"), **claims)

    response = senders.post("jwt", json.dumps({"token": token}).encode())

    assert (response.status, response.body["code"]) == (401, "signature_invalid")


def test_a_wrong_static_secret_and_an_old_event_are_refused(senders: Senders) -> None:
    document = of_now("authentik-mapping-user.sessions_ended.json")
    old = {**document, "timestamp": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}

    wrong = senders.post("static", json.dumps(document).encode(), authorization=f"Bearer {new_secret()}")
    late = senders.bearer(old)

    assert (wrong.status, wrong.body["code"]) == (401, "signature_invalid")
    assert (late.status, late.body["code"]) == (400, "event_time_invalid")


def test_a_key_that_signs_right_after_a_rotation_is_found_within_seconds(provider: Provider) -> None:
    with KeyServer({**KEY.as_dict(private=False), "kid": "old"}) as keys:
        senders = Senders(provider, keys)
        keys.keys = (KEY.as_dict(private=False),)

        until(lambda: senders.jwt(of_now("authentik-mapping-test.json")).status == 200, seconds=RETRY / 1000 + 5)


def test_a_source_whose_keys_cannot_be_read_is_not_stored(provider: Provider) -> None:
    metadata = {"format": "signed-jwt", "audience": AUDIENCE, "jwks_uri": "http://127.0.0.1:9/jwks"}

    status, answer = provider.stack.admin("PUT", f"{provider.path}/sources/jwt", metadata)

    assert (status, answer["code"]) == (400, "upstream_unavailable")


def test_a_source_of_tokens_is_shown_and_needs_no_secret(senders: Senders) -> None:
    shown = senders.provider.get("/sources/jwt")

    assert (shown["format"], shown["audience"], shown["token_issuer"]) == ("signed-jwt", AUDIENCE, None)
    assert senders.provider.stack.admin("DELETE", f"{senders.provider.path}/sources/jwt")[0] == 204


@pytest.mark.parametrize("source", [SOURCE, "static", "jwt"])
def test_a_preview_shows_what_an_event_would_cause_and_causes_nothing(senders: Senders, aws: Aws, source: str) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    senders.provider.start("wiki", sub=sub, sid=sid)
    payload = {"id": "evt-1", **of_now("standardwebhooks-generic-session.ended.json", iss=senders.provider.issuer, sid=sid)}

    shown = senders.provider.post(f"/sources/{source}/preview", {"payload": payload})
    refused, problem = senders.provider.stack.admin(
        "POST", f"{senders.provider.path}/sources/{source}/preview", {"payload": {**payload, "timestamp": "now"}}
    )
    aws.wait_until_handled(senders.provider.name)

    (event,) = shown["events"]
    assert (event["kind"], event["sid"], event["reason"], shown["ignored"]) == ("session_ended", sid, "logout", 0)
    assert (refused, problem["code"]) == (400, "malformed_request")
    (session,) = senders.provider.rp_sessions(sub=sub)
    assert session["ended_at"] is None


EXAMPLES = {
    language: re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "providers" / "generic.md").read_text(), re.DOTALL)
    for language in ("sh", "python", "javascript")
}
COMMANDS = {"sh": ["/bin/sh", "-eu"], "python": [sys.executable], "javascript": ["node"]}
FILES = {"sh": "send.sh", "python": "send.py", "javascript": "send.mjs"}


@pytest.mark.parametrize("language", EXAMPLES)
def test_every_signing_example_of_the_document_is_believed(provider: Provider, language: str, tmp_path: Path) -> None:
    (example,) = EXAMPLES[language]
    (tmp_path / FILES[language]).write_text(example)
    body = json.dumps(of_now("authentik-mapping-user.sessions_ended.json", sub="zoë 'n' \"co\""), ensure_ascii=False)
    url = f"{provider.stack.api_url}/webhooks/{provider.name}/{SOURCE}"

    done = subprocess.run(  # noqa: S603 - our own document
        [*COMMANDS[language], FILES[language], body],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "URL": url, "SECRET": provider.secret, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ended"] == 1
