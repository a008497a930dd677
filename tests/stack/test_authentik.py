"""docs/providers/authentik.md: its requests are made, its Python runs in an imitation of authentik, against a deployed stack."""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from backchannel.sessions.events import SubjectSessionsEnded, logout_id
from local.client import Response, Stack
from tests.support.authentik import AccessToken, Authentik, Event, Notification, RefreshToken, User, event_of, hash_session_key
from tests.support.logout_tokens import TokenSigner
from tests.support.polling import until
from tests.support.provider import LOOPBACK, Json, Provider, new_secret
from tests.support.relying_party import RelyingParty
from tests.support.snippets import blocks, exchanges, sections
from tests.support.unspeakable import note
from tests.support.upstream import DISCOVERY, JWKS, UpstreamServer
from tests.unit.fakes import sample

pytestmark = pytest.mark.senders

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "providers" / "authentik.md").read_text()
SECTIONS = sections(DOCUMENT)
SESSIONS = "Sessions: authentik's own logout tokens"
USERS = ["Users: passwords, deactivation, deletion", "The proof", "The rule"]

AUTHENTIK, WIKI, SLUG = "https://auth.example.com/", "https://auth.example.com/application/o/wiki/", "backchannel"
HUB_JWKS = f"{AUTHENTIK}application/o/{SLUG}/jwks/"
USER, ADMINISTRATOR = 42, 1

EXPRESSIONS = {re.findall(r"\A# ([\w-]+)\n", dedent(content))[0]: dedent(content) for _, content in blocks(DOCUMENT, "python")}
"""The Python of the document by the name in its first line."""


@dataclass
class Scene:
    """A provider as the document configures it, for an application of an authentik, with one relying party."""

    provider: Provider
    server: UpstreamServer
    signer: TokenSigner
    hub: TokenSigner
    rp: RelyingParty
    authentik: Authentik
    secrets: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Return a text of the document with the names of this scene."""
        names = {HUB_JWKS: f"{self.server.url}/hub", WIKI: f"{self.server.url}/", "auth-wiki": self.provider.name, **self.secrets}
        for there, name in names.items():
            text = text.replace(there, name)
        return text

    def configure(self, *headings: str) -> None:
        """Make the requests of some sections; what the relying party is called is different here."""
        for heading in headings:
            for exchange in exchanges(SECTIONS[heading]):
                answer = self.provider.stack.request(
                    exchange.method, self.here(exchange.path), body=self.here(exchange.body).encode(), signed=True
                )
                assert answer.status in {200, 201}, (exchange, answer)
                if "/clients/" in exchange.path:
                    known = {"backchannel_logout_uri": self.rp.uri(), "allowed_networks": LOOPBACK}
                    self.provider.put("/clients/wiki", {**json.loads(exchange.body), **known})

    def notify(self, event: Event, proof: str) -> Response:
        """Send an event as a transport with the mappings of one proof does."""
        source, body_mapping, header_mapping = PROOFS[proof]
        secret = self.secrets.get(SECRETS[source]) if source in SECRETS else None
        with pytest.MonkeyPatch.context() as patch:
            if secret is not None:
                patch.setenv("BACKCHANNEL_SECRET", secret)
            body, headers = self.authentik.webhook(Notification(event), body_mapping, header_mapping)
        return self.provider.stack.request("POST", f"/webhooks/{self.provider.name}/{source}", body=body, headers=headers)

    def logout_of(self, user: int, event: Event) -> tuple[int, Json]:
        """Return the logout of all of a user's sessions that an event has caused: status and body."""
        logout = logout_id(self.provider.issuer, SubjectSessionsEnded(User(user).uid, 0, event.event_uuid.hex))
        return self.provider.stack.admin("GET", f"{self.provider.path}/logouts/{logout}")


PROOFS = {
    "JWT": ("users", "backchannel-jwt", None),
    "HMAC": ("users-signed", "backchannel-event", "backchannel-signature"),
    "static header": ("users-static", "backchannel-event", "backchannel-header"),
}
"""The source, the body mapping and the header mapping of each proof."""

SECRETS = {"users-signed": "whsec_<32 octets in base64>", "users-static": "<at least 24 characters>"}


@pytest.fixture(scope="module")
def make_scene(stack: Stack) -> Iterator[Callable[[], Scene]]:
    with ExitStack() as running:

        def make() -> Scene:
            server, rp, provider = (
                running.enter_context(UpstreamServer("")),
                running.enter_context(RelyingParty()),
                Provider(stack),
            )
            provider.issuer = f"{server.url}/"
            metadata = server.pages[DISCOVERY]
            assert isinstance(metadata, dict)
            metadata["issuer"] = provider.issuer
            signer, hub = TokenSigner(provider.issuer), TokenSigner(AUTHENTIK)
            server.pages |= {JWKS: signer.jwk_set, "/hub": hub.jwk_set}
            authentik = Authentik(
                EXPRESSIONS, SLUG, lambda claims: hub.sign(claims, typ="JWT"), {USER: True, ADMINISTRATOR: True}
            )
            secret = {SECRETS["users-signed"]: new_secret(), SECRETS["users-static"]: note(secrets.token_urlsafe(24))}
            return Scene(provider, server, signer, hub, rp, authentik, secret)

        yield make


@pytest.fixture(scope="module")
def users(make_scene: Callable[[], Scene]) -> Scene:
    scene = make_scene()
    scene.configure(SESSIONS, *USERS)
    return scene


def of(name: str, **changed: Any) -> Event:
    return event_of(sample(f"authentik-event-{name}.json"), **changed)


ADMIN = {"pk": ADMINISTRATOR, "email": "admin@example.com", "username": "admin"}
AFFECTED = {"pk": USER, "email": "user@example.com", "username": "user"}

ENDS: dict[str, tuple[Callable[[], Event], str]] = {
    "a password was set": (lambda: of("password_set"), "credential_changed"),
    "by an administrator who impersonates the user": (
        lambda: of("password_set", user={**ADMIN, "on_behalf_of": AFFECTED}),
        "credential_changed",
    ),
    "by an administrator in whose browser a flow is open": (
        lambda: of("password_set", user={**ADMIN, "authenticated_as": AFFECTED}),
        "credential_changed",
    ),
    "an administrator deleted the user": (lambda: of("model_deleted-user"), "user_deleted"),
    "an administrator deactivated the user": (lambda: of("model_deleted-user", action="model_updated"), "user_disabled"),
    "a logout": (lambda: of("logout"), "logout"),
    "a broken session binding": (lambda: of("logout-binding-broken"), "logout"),
}


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("name", ENDS)
def test_an_event_ends_the_sessions_of_the_affected_user_and_nobody_elses(users: Scene, name: str, proof: str) -> None:
    event, reason = ENDS[name][0](), ENDS[name][1]

    answer = users.notify(event, proof)

    assert 200 <= answer.status < 300, answer
    assert answer.body == {"started": 0, "ended": 1, "ignored": 0}
    logout = until(
        lambda: users.logout_of(USER, event)[1],
        holds=lambda found: [each["status"] for each in found.get("deliveries", [])] == ["accepted"],
        seconds=20,
    )
    assert (logout["sub"], logout["sid"], logout["client_id"], logout["reason"]) == (User(USER).uid, None, None, reason)
    assert users.logout_of(ADMINISTRATOR, event)[0] == 404


IGNORED: dict[str, Callable[[], Event]] = {
    "the transport's test": lambda: Event("custom_notification_test", {}, {"context": {"foo": "bar"}, "user": ADMIN}),
    "an application was authorized": lambda: of("authorize_application"),
    "an application was deleted": lambda: Event(
        "model_deleted", ADMIN, {"model": {"pk": "42", "app": "authentik_core", "name": "Wiki", "model_name": "application"}}
    ),
    "somebody without an account": lambda: of("password_set", user={}),
}


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("name", IGNORED)
def test_an_event_that_ends_nothing_is_proven_and_ignored(users: Scene, name: str, proof: str) -> None:
    answer = users.notify(IGNORED[name](), proof)

    assert 200 <= answer.status < 300, answer
    assert answer.body == {"started": 0, "ended": 0, "ignored": 1}


@pytest.mark.parametrize("proof", PROOFS)
def test_a_start_names_session_user_and_client(users: Scene, proof: str) -> None:
    session_key, user = note(secrets.token_hex(16)), User(int(time.time_ns()))
    token = AccessToken(session_key)
    assert users.authentik.claims("backchannel-start", user, "wiki", token, grant_type="authorization_code") == {}
    event = users.authentik.created.pop()
    assert users.authentik.matches("backchannel-starts-of-wiki", event)

    answer = users.notify(event, proof)

    assert answer.body == {"started": 1, "ended": 0, "ignored": 0}
    (session,) = users.provider.rp_sessions(sub=user.uid)
    assert (session["client_id"], session["sid"], session["ended_at"]) == ("wiki", hash_session_key(session_key), None)


def test_the_sample_of_a_start_is_what_the_scope_mapping_makes(users: Scene) -> None:
    event = of("start-custom")

    assert event.action == "custom_backchannel_start"
    assert users.authentik.matches("backchannel-starts-of-wiki", event)
    assert not users.authentik.matches("backchannel-starts-of-wiki", of("start-custom", context={"client_id": "mail"}))
    assert users.notify(event, "JWT").body == {"started": 1, "ended": 0, "ignored": 0}
    (session,) = users.provider.rp_sessions(sub=event.context["sub"])
    assert (session["client_id"], session["sid"]) == ("wiki", event.context["sid"])


@pytest.mark.parametrize(
    ("token", "grant_type"),
    [
        (AccessToken("key"), "refresh_token"),
        (AccessToken("key"), "client_credentials"),
        (AccessToken(None), "authorization_code"),
        (RefreshToken("key"), "authorization_code"),
    ],
)
def test_nothing_but_a_login_is_a_start(users: Scene, token: AccessToken, grant_type: str) -> None:
    assert users.authentik.claims("backchannel-start", User(USER), "wiki", token, grant_type=grant_type) == {}

    assert users.authentik.created == []


def test_the_session_keys_hash_is_that_of_authentik() -> None:
    hashed = hash_session_key("examplesessionkey00000000000000ab")

    assert hashed == "3dbe4c26ebe6a8e47bdad6340ce3e7b29a3cf57c644cff7a525e415ba18e1377"


def test_the_policy_lets_exactly_the_ends_of_users_pass(users: Scene) -> None:
    passing = {
        "password_set": of("password_set"),
        "deleted": of("model_deleted-user"),
        "updated": of("model_deleted-user", action="model_updated"),
        "created": of("model_deleted-user", action="model_created"),
        "application": IGNORED["an application was deleted"](),
        "logout": of("logout"),
        "start": of("start-custom"),
        "authorized": of("authorize_application"),
        "test": IGNORED["the transport's test"](),
    }

    def passed() -> set[str]:
        return {name for name, event in passing.items() if users.authentik.matches("backchannel-users", event)}

    while_active = passed()
    users.authentik.users[USER] = False
    once_inactive = passed()
    users.authentik.users[USER] = True

    assert while_active == {"password_set", "deleted"}
    assert once_inactive == {"password_set", "deleted", "updated"}


def test_the_default_body_of_a_transport_proves_nothing(users: Scene) -> None:
    body = json.dumps(sample("authentik-webhook-default.json")).encode()

    answers = [
        users.provider.stack.request("POST", f"/webhooks/{users.provider.name}/{source}", body=body)
        for source, _, _ in PROOFS.values()
    ]

    assert [(each.status, each.body["code"]) for each in answers] == [(401, "signature_invalid")] * len(PROOFS)


@pytest.mark.parametrize(
    "change",
    [{"type": None}, {"aud": "wiki"}, {"exp": int(time.time()) - 1}, {"iss": "https://auth.example.com/application/o/wiki/"}],
)
def test_a_jwt_that_is_no_event_of_this_sender_is_refused(users: Scene, change: Json) -> None:
    claims: Json = sample("authentik-mapping-jwt.json")["claims"]
    claims |= {"iss": AUTHENTIK, "aud": SLUG, "exp": int(time.time()) + 300}
    sent = {name: value for name, value in {**claims, **change}.items() if value is not None}
    body = json.dumps({"token": users.hub.sign(sent, typ="JWT")}).encode()

    answer = users.provider.stack.request("POST", f"/webhooks/{users.provider.name}/users", body=body)

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")


def test_authentiks_logout_token_is_passed_on_and_no_key_of_ours_is_made(make_scene: Callable[[], Scene]) -> None:
    scene = make_scene()
    scene.configure(SESSIONS)
    shown = sample("authentik-logout-token.json")
    now = int(time.time())
    claims = {**shown["claims"], "iss": scene.provider.issuer, "iat": now, "exp": now + 3600}
    token = note(scene.signer.sign(claims, typ=shown["jose_header"]["typ"]))
    body, form = f"logout_token={token}".encode(), {"Content-Type": "application/x-www-form-urlencoded"}

    answer = scene.provider.stack.request("POST", f"/webhooks/{scene.provider.name}/relay", body=body, headers=form)

    assert answer.status == 200, answer
    scene.provider.wait_until(scene.provider.logout_of_session(claims["sid"]), "accepted")
    assert token in scene.rp.tokens
    assert scene.provider.ring() == []
