"""Okta's samples through the deployed stack, to sources that docs/providers/okta.md configures: each has exactly its effect."""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from backchannel.sessions.events import SubjectSessionsEnded, logout_id
from local.client import Response, Stack
from tests.stack.tokens import verified
from tests.support.logout_tokens import TokenSigner
from tests.support.provider import LOOPBACK, Json, Provider
from tests.support.relying_party import RelyingParty
from tests.support.samples import IGNORED, STARTED, Effect, People
from tests.support.snippets import Exchange, blocks, exchanges
from tests.support.unspeakable import note
from tests.support.upstream import JWKS, UpstreamServer
from tests.unit.fakes import EVENTS

pytestmark = pytest.mark.senders

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "providers" / "okta.md").read_text()
CLIENT = "/clients/0oa0000000000000wik7"
SECRET = "Bearer <a long random text>"
ORG, ISSUER = "https://acme.okta.com", "https://acme.okta.com/oauth2/default"
UNMAPPABLE = IGNORED

HOOKS: dict[str, Effect] = {
    "policy.auth_reevaluate.fail-ours": IGNORED,  # compromised is off by default
    "user.account.lock-ours": Effect("user", "user_disabled"),
    "user.account.reset_password-ours": Effect("user", "credential_changed"),
    "user.account.update_password": Effect("user", "credential_changed"),
    "user.authentication.sso": STARTED,
    "user.authentication.sso-failed-ours": IGNORED,
    "user.authentication.universal_logout-ours": Effect("user", "session_revoked"),
    "user.lifecycle.deactivate": Effect("user", "user_disabled"),
    "user.lifecycle.delete.initiated-ours": Effect("user", "user_deleted"),
    "user.lifecycle.suspend-ours": Effect("user", "user_disabled"),
    "user.risk.detect-high-ours": IGNORED,
    "user.risk.detect-low-ours": IGNORED,
    "user.session.clear": Effect("user", "admin_logout"),
    "user.session.clear-nobody-ours": UNMAPPABLE,
    "user.session.end": IGNORED,  # logout is off by default
    "user.session.start": IGNORED,
}


@dataclass
class Okta(People):
    """An org with the sources of the document, one after another where it configures one twice."""

    signer: TokenSigner = field(kw_only=True)
    jwks_uri: str = field(kw_only=True)
    rps: dict[str, RelyingParty] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: note("Bearer " + secrets.token_urlsafe(24)))

    def here(self, text: str) -> str:
        names = {
            f"{ORG}/oauth2/v1/keys": self.jwks_uri,
            ISSUER: self.provider.issuer,
            "/providers/acme": self.provider.path,
            "/webhooks/acme": f"/webhooks/{self.provider.name}",
            "https://<api>": self.provider.stack.api_url,
            "0oa0000000000000wik7": "wiki",
            SECRET: self.secret,
        }
        for there, name in names.items():
            text = text.replace(there, name)
        return text

    def put(self, exchange: Exchange) -> None:
        document = json.loads(self.here(exchange.body))
        if "jwks_uri" in document:
            document["allowed_networks"] = LOOPBACK
        answer = self.provider.stack.request(exchange.method, self.here(exchange.path), document, signed=True)
        assert answer.status in {200, 201}, (exchange, answer)

    def text(self, name: str) -> str:
        """Return a sample as if it happened now, to the people of this test."""
        now, published = datetime.now(UTC).isoformat(timespec="milliseconds"), "2026-09-01T10:00:00.000Z"
        text = (EVENTS / f"{name}.json").read_text().replace(published, now.replace("+00:00", "Z"))
        for there, here in {"00u0000000000000ada7": self.sub, "00u0000000000000adm7": self.administrator}.items():
            text = text.replace(there, here)
        return text.replace("0oa0000000000000wik7", "wiki").replace("user@example.com", self.sub)

    def hook(self, name: str, source: str = "hook") -> Response:
        hook = json.loads(self.text(f"okta-eventhook-{name}"))
        hook["data"]["events"][0]["uuid"] = self.event_id
        return self.post(source, hook, self.secret)

    def universal_logout(self, name: str, source: str, **claims: Any) -> Response:
        document, now = json.loads(self.text(name)), int(time.time())
        audience = f"{self.provider.stack.api_url}/webhooks/{self.provider.name}/universal-logout"
        times = {"iat": now, "nbf": now - 300, "exp": now + 300}
        own = {"iss": ORG, "aud": audience, "jti": self.event_id, **times, **claims}
        token = note(self.signer.sign({**document["jwt_payload"], **own}, typ=document["jwt_header"]["typ"]))
        return self.post(source, document["body"], f"Bearer {token}")

    def post(self, source: str, document: object, authorization: str) -> Response:
        path = f"/webhooks/{self.provider.name}/{source}"
        return self.provider.stack.request("POST", path, document, headers={"Authorization": authorization})


@pytest.fixture(scope="module")
def okta(stack: Stack) -> Iterator[Okta]:
    with ExitStack() as running:
        provider = Provider(stack)
        server = running.enter_context(UpstreamServer(provider.issuer))
        signer = TokenSigner(ORG)
        server.pages[JWKS] = signer.jwk_set
        org = Okta(provider, signer=signer, jwks_uri=server.url + JWKS)
        first, *others = exchanges(DOCUMENT)
        assert json.loads(first.body)["issuer"] == ISSUER
        provider.put("", {"issuer": provider.issuer, "upstream": server.upstream})
        configured = [each for each in others if not each.path.endswith(CLIENT)]
        assert len(configured) == len(others) - 1
        assert [each.path.rpartition("/")[2] for each in configured] == ["hook", "universal-logout"] * 2
        for client_id in ("wiki", "mail"):
            org.rps[client_id] = running.enter_context(RelyingParty())
            provider.register_client(org.rps[client_id], client_id, subject="sub_only")
        for each, name in zip(configured, ["hook", "universal-logout", "hook-all", "universal-logout-email"], strict=True):
            org.put(Exchange(each.method, f"/providers/acme/sources/{name}", each.body, None))
        metadata = {**json.loads(org.here(configured[1].body)), "allowed_networks": LOOPBACK}
        provider.put_source("universal-logout-user", **metadata, ends_at="user")
        yield org


def test_every_sample_of_okta_is_in_a_table() -> None:
    names = {path.stem for pattern in ("eventhook", "universal") for path in EVENTS.glob(f"okta-{pattern}*.json")}

    own = {"okta-eventhook-verification", "okta-universal-logout", "okta-universal-logout-email"}
    assert names == {f"okta-eventhook-{name}" for name in HOOKS} | own


@pytest.mark.parametrize(("name", "effect"), HOOKS.items(), ids=HOOKS)
def test_a_sample_of_an_event_hook_has_exactly_its_effect(okta: Okta, name: str, effect: Effect) -> None:
    okta.begin()
    okta.expect(effect)

    answer = okta.hook(name)

    counts = {"started": int(effect.starts), "ended": int(effect.ends is not None)}
    assert (answer.status, answer.body) == (200, {**counts, "ignored": 1 - sum(counts.values())})
    okta.check(effect, has_sid=False)


def test_the_end_of_one_browsers_session_ends_the_users_if_the_operator_chooses_that(okta: Okta) -> None:
    okta.begin()

    okta.hook("user.session.end", "hook-all")

    okta.check(Effect("user", "logout"))


UNIVERSAL = [
    ("okta-universal-logout", "universal-logout", Effect("user at wiki", "session_revoked")),
    ("okta-universal-logout", "universal-logout-user", Effect("user", "session_revoked")),
    ("okta-universal-logout-email", "universal-logout", Effect(code="subject_unknown")),
    ("okta-universal-logout-email", "universal-logout-email", Effect("user at wiki", "session_revoked")),
]


@pytest.mark.parametrize(("name", "source", "effect"), UNIVERSAL)
def test_a_sample_of_a_universal_logout_has_exactly_its_effect(okta: Okta, name: str, source: str, effect: Effect) -> None:
    okta.begin()

    answer = okta.universal_logout(name, source)

    if effect.code is None:
        assert (answer.status, answer.body) == (204, None)
    else:
        assert (answer.status, answer.body["code"]) == (404, effect.code)
    okta.check(effect)


@pytest.mark.parametrize("claims", [{"iss": ISSUER}, {"aud": "https://elsewhere.example/"}, {"exp": 1_700_000_000}])
def test_a_universal_logout_of_somebody_else_is_refused(okta: Okta, claims: Json) -> None:
    okta.begin()

    answer = okta.universal_logout("okta-universal-logout", "universal-logout", **claims)

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")
    okta.check(IGNORED)


def test_the_documents_command_shows_that_okta_may_verify_the_address(okta: Okta) -> None:
    ((_, block),) = blocks(DOCUMENT, "console")
    command, shown = dedent(block).removeprefix("$ ").strip().split("\n")

    answer = subprocess.run(["bash", "-c", okta.here(command) + " -sS"], capture_output=True, check=True, text=True).stdout  # noqa: S603, S607

    assert json.loads(answer) == json.loads(shown)


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        *(("hook", {}), ("hook", {"Authorization": "Bearer wrong"}), ("nobody", {}), ("universal-logout", {})),
        ("hook", {"Authorization": "Bearer wrong", "Content-Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_whoever_asks_without_proof_does_not_learn_which_sources_there_are(okta: Okta, source: str, headers: Json) -> None:
    path = f"/webhooks/{okta.provider.name}/{source}"

    answer = okta.provider.stack.request("GET", path, headers={"x-okta-verification-challenge": "it-is-me", **headers})

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")


def test_from_a_sign_on_and_a_cleared_session_to_a_token_that_the_rp_accepts(okta: Okta) -> None:
    okta.begin()
    okta.expect(STARTED)
    assert okta.hook("user.authentication.sso").body == {"started": 1, "ended": 0, "ignored": 0}
    before = len(okta.rps["wiki"].requests)

    okta.event_id += "-end"
    okta.hook("user.session.clear")

    end = SubjectSessionsEnded(okta.sub, 0, okta.event_id)
    okta.provider.wait_until(logout_id(okta.provider.issuer, end), "accepted")
    (request,) = okta.rps["wiki"].requests[before:]
    claims = verified(okta.provider, request.token).claims
    assert (claims["iss"], claims["aud"], claims["sub"]) == (okta.provider.issuer, "wiki", okta.sub)
    assert "sid" not in claims
