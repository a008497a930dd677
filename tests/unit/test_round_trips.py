"""PUT takes what GET shows and changes nothing; PATCH changes what it names. For providers, sources of every format, clients."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.api.resolver import app
from backchannel.deliveries.circuits import Circuit
from backchannel.errors import ConflictError, DocumentUnavailable, NotFoundError
from backchannel.providers.clients import Client
from backchannel.providers.source_activity import SourceActivity
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.tokens.documents import Document
from backchannel.tokens.locations import Location
from backchannel.webhooks.formats import FORMATS
from tests.support.deployed import CONTEXT
from tests.support.encrypting import public_jwk
from tests.support.queues import FakeQueue

ISSUER = "https://idp.example"
BY = "arn:aws:iam::123456789012:user/operator"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgb2N0ZXRz"
SECRETS = {"okta": "Bearer " + "s" * 24, "auth0": "Bearer " + "s" * 24, "pingone": "Bearer " + "s" * 24}
OF_JWKS = {"jwks_uri": "https://idp.example/jwks", "allowed_networks": ["10.0.0.0/8"]}
SETTINGS: Mapping[str, object] = {
    "sid_trust": "sha256",
    "require_iss": True,
    "ends_sessions": ["logout", "user_deleted"],
    "algorithm": "HmacSHA256",
    "realm": "customers",
    "audience": "hub",
    "token_issuer": "https://other.example",
    **OF_JWKS,
    "tolerate_missing_exp": True,
    "max_lifetime": 600,
    "tolerate_typ": True,
    "email_is_sub": True,
    "ends_at": "user",
    "subject_issuers": ["https://third.example"],
    "widen_subjects": True,
    "unnamed_session": "report",
    "verification_state": "state",
}
"""A value of each setting that is not its default."""


@dataclass
class World:
    """The operator's interface over tables in memory; ``writes`` counts what was stored anew."""

    provider: Provider = field(default_factory=lambda: Provider("acme", ISSUER, ()))
    sources: dict[str, Source] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    secrets: dict[str, list[str]] = field(default_factory=dict)
    documents_fail: bool = False
    writes: int = 0
    is_alone: bool = False
    touched: list[tuple[str, bool]] = field(default_factory=list)
    queue: FakeQueue = field(default_factory=FakeQueue)

    # --- ProvidersTable -----------------------------------------------------------------------------------------------

    def get(self, _: str) -> Provider:
        return self.provider

    def change(self, _: str, change: Callable[[Provider], Provider]) -> Provider:
        before, self.provider = self.provider, change(self.provider)
        self.writes += before != self.provider
        return self.provider

    def get_source(self, _: str, source: str) -> Source:
        return self.sources[source]

    def change_source(self, _: str, source: str, change: Callable[[Source | None], Source]) -> Source:
        self.touched.append(("settings", self.is_alone))
        self.writes += (changed := change(self.sources.get(source))) != self.sources.get(source)
        self.sources[source] = changed
        return changed

    def get_client(self, _: str, client_id: str) -> Client:
        return self.clients[client_id]

    def change_client(self, _: str, client_id: str, change: Callable[[Client | None], Client]) -> Client:
        self.writes += (changed := change(self.clients.get(client_id))) != self.clients.get(client_id)
        self.clients[client_id] = changed
        return changed

    def delete_source(self, _: str, source: str) -> None:
        self.touched.append(("settings", self.is_alone))
        del self.sources[source]

    @contextmanager
    def alone(self, *_: str) -> Iterator[None]:
        self.is_alone = True
        yield
        self.is_alone = False

    # --- SecretsManager ---------------------------------------------------------------------------------------------

    def put(self, name: str, secrets: list[str]) -> None:
        self.touched.append(("secrets", self.is_alone))
        self.secrets[name] = secrets

    def delete(self, name: str) -> None:
        self.touched.append(("secrets", self.is_alone))
        self.secrets.pop(name, None)

    # --- what is beside it --------------------------------------------------------------------------------------------

    def fetch(self, location: Location, _: object) -> Document:
        if self.documents_fail:
            raise DocumentUnavailable("it is down")
        if location.uri.endswith("openid-configuration"):
            return Document({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}, 0)
        return Document({"keys": []}, 0)

    def ask(self, method: str, path: str, document: object = None, content_type: str = "application/json") -> tuple[int, Any]:
        using = SimpleNamespace(
            providers=self,
            secrets=self,
            source_changes=self,
            secret_prefix="backchannel/test",
            documents=self,
            activities=SimpleNamespace(begin=lambda *_: None, delete=lambda *_: None, get=lambda *_: SourceActivity()),
            key_rotation=SimpleNamespace(call=lambda **_: None),
            circuits=SimpleNamespace(get=lambda *_: Circuit("open", 1_788_256_800_000)),
            delivery_queue=self.queue,
            permit_private_networks=True,
            permit_loopback=False,
        )
        app.append_context(dependencies=using)
        event: Any = {
            "httpMethod": method,
            "path": f"/providers/acme{path}",
            "headers": {"content-type": content_type},
            "body": None if document is None else json.dumps(document),
            "requestContext": {"stage": "live", "identity": {"userArn": BY}},
        }
        answer = app.resolve(event, CONTEXT)  # type: ignore[arg-type]
        return answer["statusCode"], json.loads(answer["body"] or "null")

    def done(self, method: str, path: str, document: object = None, content_type: str = "application/json") -> Any:
        status, body = self.ask(method, path, document, content_type)
        assert status == 200, body
        return body


def source_of(name: str, *, is_full: bool) -> dict[str, object]:
    """Return the settings of a source of a format: all that it has, or what it needs."""
    row = FORMATS[name]
    chosen = row.settings if is_full else row.required | (row.settings & OF_JWKS.keys())
    secret = {} if row.check_secret is None or row.secret_optional else {"secret": SECRETS.get(name, SECRET)}
    return {"format": name, **secret, **{each: SETTINGS[each] for each in chosen if each in SETTINGS}}


CLIENTS: Mapping[str, dict[str, object]] = {
    "of which nothing is known": {},
    "with every member": {
        "backchannel_logout_uri": "https://rp.example/logout?a=b",
        "backchannel_logout_session_required": True,
        "id_token_signed_response_alg": "ES256",
        "id_token_encrypted_response_alg": "ECDH-ES",
        "jwks": {"keys": [public_jwk("P-256", kid="k1", use="enc")]},
        "token_endpoint_auth_method": "private_key_jwt",
        "subject": "sid_only",
        "typ": "JWT",
        "exp": 60,
        "allowed_networks": ["10.0.0.0/8"],
        "give_up_after": 600,
        "logout_reasons": ["logout", "expired"],
    },
    "without a typ": {"typ": None, "own_tokens": False, "logout_reasons": []},
    "that is paused": {"backchannel_logout_uri": "https://rp.example/logout", "paused": True},
}
PROVIDERS: Mapping[str, dict[str, object]] = {
    "of which little is known": {"issuer": ISSUER},
    "with every member": {
        "issuer": ISSUER,
        "session_lifetime": 3600,
        "key_rotation_days": 90,
        "recipients": "all_clients",
        "upstream": {"discovery": f"{ISSUER}/.well-known/openid-configuration", "allowed_networks": ["10.0.0.0/8"]},
    },
}


# --- PUT of a GET -----------------------------------------------------------------------------------------------------


def is_taken_back(world: World, path: str) -> None:
    shown, writes, secrets = world.done("GET", path), world.writes, dict(world.secrets)

    world.done("PUT", path, shown)
    world.done("PATCH", path, {name: value for name, value in shown.items() if value is not None})  # null is the default
    world.done("PATCH", path, {})

    assert world.done("GET", path) == shown
    assert (world.writes, world.secrets) == (writes, secrets)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_takes_what_get_shows(name: str) -> None:
    world = World()
    world.done("PUT", "", PROVIDERS[name])

    is_taken_back(world, "")


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_a_source_of_any_format_takes_what_get_shows(name: str, is_full: bool) -> None:  # noqa: FBT001 - drawn
    world = World()
    world.done("PUT", "/sources/app", source_of(name, is_full=is_full))

    is_taken_back(world, "/sources/app")


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_takes_what_get_shows(name: str) -> None:
    world = World()
    world.done("PUT", "/clients/wiki", CLIENTS[name])

    is_taken_back(world, "/clients/wiki")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("", {"provider": "other"}),
        ("", {"provider": None}),
        ("/sources/app", {"source": "other"}),
        ("/clients/wiki", {"client_id": "other"}),
        ("/clients/wiki", {"paused_by": "somebody"}),
        ("/clients/wiki", {"paused_at": "2026-01-01T00:00:00Z"}),
        ("/clients/wiki", {"resumed_by": "somebody"}),
        ("/clients/wiki", {"resumed_at": "2026-01-01T00:00:00Z"}),
    ],
)
def test_a_read_only_member_cannot_be_changed(method: str, path: str, change: dict[str, object]) -> None:
    world = World()
    world.done("PUT", "/sources/app", source_of("keycloak", is_full=False))
    world.done("PUT", "/clients/wiki", CLIENTS["with every member"])
    shown = world.done("GET", path)

    status, answer = world.ask(method, path, {**shown, **change} if method == "PUT" else change)

    assert (status, answer["code"]) == (400, "read_only_member")
    assert next(iter(change)) in answer["detail"]
    assert world.done("GET", path) == shown


@pytest.mark.parametrize(
    ("path", "measured"), [("/clients/wiki", {"circuit": {"state": "closed"}}), ("/sources/app", {"activity": None})]
)
def test_what_is_measured_is_ignored(path: str, measured: dict[str, object]) -> None:
    world = World()
    world.done("PUT", "/sources/app", source_of("keycloak", is_full=False))
    world.done("PUT", "/clients/wiki", CLIENTS["with every member"])
    shown = world.done("GET", path)

    world.done("PUT", path, {**shown, **measured})
    world.done("PATCH", path, measured)

    assert world.done("GET", path) == shown


# --- PATCH ------------------------------------------------------------------------------------------------------------

CHANGES: Mapping[str, st.SearchStrategy[Any]] = {
    "backchannel_logout_uri": st.sampled_from([None, "https://rp.example/other"]),
    "token_endpoint_auth_method": st.sampled_from([None, "private_key_jwt"]),
    "exp": st.none() | st.integers(10, 120),
    "give_up_after": st.none() | st.integers(60, 3600),
    "paused": st.none() | st.booleans(),
    "logout_reasons": st.none() | st.lists(st.sampled_from(["logout", "expired", "compromised"])),
}


@given(st.lists(st.fixed_dictionaries({}, optional=dict(CHANGES)), max_size=4))
def test_a_client_that_is_patched_is_what_put_of_the_whole_would_make_of_it(patches: list[dict[str, Any]]) -> None:
    patched, replaced, wanted = World(), World(), dict[str, Any]()
    patched.done("PUT", "/clients/wiki", {})

    for patch in patches:
        patched.done("PATCH", "/clients/wiki", patch)
        wanted = {name: value for name, value in (wanted | patch).items() if value is not None}
        replaced.done("PUT", "/clients/wiki", wanted)

    times = {"paused_at", "resumed_at"}
    one, other = (world.done("GET", "/clients/wiki") if world.clients else {} for world in (patched, replaced))
    if patches:
        assert {name: one[name] for name in one.keys() - times} == {name: other[name] for name in other.keys() - times}


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/merge-patch+json", "Application/Merge-Patch+JSON; a=b"]
)
def test_a_patch_comes_under_either_media_type(content_type: str) -> None:
    world = World()
    world.done("PUT", "/clients/wiki", CLIENTS["with every member"])

    patched = world.done("PATCH", "/clients/wiki", {"exp": 30, "typ": None}, content_type)

    assert (patched["exp"], patched["typ"], patched["give_up_after"]) == (30, "logout+jwt", 600)


@pytest.mark.parametrize("path", ["/clients/wiki", "/sources/app"])
def test_there_must_be_something_to_patch(path: str) -> None:
    status, answer = World().ask("PATCH", path, {})

    assert (status, answer["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "patch", "at"),
    [
        ("/clients/wiki", {"exp": 5}, "body/exp"),
        ("/clients/wiki", {"typ": "secret"}, "body/typ"),
        ("/clients/wiki", {"secret": 1}, "body/*"),
        ("", {"issuer": None}, "body/issuer"),
        ("", {"upstream": {"secret": 1}}, "body/upstream/*"),
        ("/sources/app", {"format": None}, "body/format"),
        ("/sources/app", {"ends_sessions": ["secret"]}, "body/ends_sessions/0"),
    ],
)
def test_a_patch_that_cannot_be_meant_is_refused_as_put_would_be(path: str, patch: dict[str, object], at: str) -> None:
    world = World()
    world.done("PUT", "/clients/wiki", {})
    world.done("PUT", "/sources/app", source_of("keycloak", is_full=False))

    status, answer = world.ask("PATCH", path, patch)

    assert (status, answer["code"]) == (400, "malformed_request")
    assert all(each["at"].startswith(at) for each in answer["errors"])
    assert "secret" not in json.dumps(answer)


def test_the_issuer_cannot_be_patched() -> None:
    status, answer = World().ask("PATCH", "", {"issuer": "https://other.example"})

    assert (status, answer["code"]) == (ConflictError.status, ConflictError.code)


def test_a_part_of_an_upstream_is_patched() -> None:
    world = World()
    world.done("PUT", "", PROVIDERS["with every member"])

    patched = world.done("PATCH", "", {"upstream": {"allowed_networks": None}})
    removed = world.done("PATCH", "", {"upstream": None})

    assert patched["upstream"] == {**removed, **PROVIDERS["with every member"]}["upstream"] | {
        "allowed_networks": [],
        "ca_bundle": None,
        "jwks_uri": None,
    }
    assert (removed["upstream"], removed["key_rotation_days"]) == (None, 90)


def test_what_a_patch_leaves_alone_need_not_be_fetched_anew() -> None:
    world = World()
    world.done("PUT", "", PROVIDERS["with every member"])
    world.done("PUT", "/sources/app", source_of("signed-jwt", is_full=True))
    world.documents_fail = True

    assert world.done("PATCH", "", {"session_lifetime": 60})["session_lifetime"] == 60
    assert world.done("PATCH", "/sources/app", {"expected_interval": 600})["expected_interval"] == 600
    assert world.ask("PATCH", "", {"upstream": {"jwks_uri": f"{ISSUER}/other"}})[1]["code"] == "upstream_unavailable"
    assert world.ask("PATCH", "/sources/app", {"jwks_uri": f"{ISSUER}/other"})[1]["code"] == "upstream_unavailable"
    assert world.ask("PUT", "/sources/app", source_of("signed-jwt", is_full=True))[1]["code"] == "upstream_unavailable"


# --- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_source_keeps_its_secrets_while_its_format_stays(method: str) -> None:
    world = World()
    world.done("PUT", "/sources/app", {"format": "keycloak", "secret": "s" * 24, "previous_secret": "t" * 24})
    kept = dict(world.secrets)

    world.done(method, "/sources/app", {"format": "keycloak", "realm": "customers"})
    renewed = world.done(method, "/sources/app", {"format": "keycloak", "secret": "u" * 24})

    assert kept == {"backchannel/test/acme/app": ["s" * 24, "t" * 24]}
    assert world.secrets == {"backchannel/test/acme/app": ["u" * 24]}
    assert renewed["realm"] == (None if method == "PUT" else "customers")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "document",
    [
        {"format": "keycloak", "secret": None},
        {"format": "keycloak", "secret": None, "previous_secret": None},
        {"format": "keycloak", "previous_secret": "t" * 24},
        {"format": "keycloak", "previous_secret": None},
        {"format": "zitadel"},
        {"format": "bearer"},
        {"format": "bearer", "secret": "short"},
    ],
)
def test_a_source_is_not_left_without_what_proves_its_sender(method: str, document: dict[str, object]) -> None:
    world = World()
    world.done("PUT", "/sources/app", {"format": "keycloak", "secret": "s" * 24})
    before = world.done("GET", "/sources/app"), dict(world.secrets)

    status, answer = world.ask(method, "/sources/app", document)

    assert (status, answer["code"]) == (400, "registration_invalid")
    assert (world.done("GET", "/sources/app"), world.secrets) == before


@pytest.mark.parametrize(
    ("method", "document", "touches"),
    [
        ("PUT", {"format": "keycloak", "secret": "u" * 24}, {"settings", "secrets"}),
        ("PATCH", {"secret": "u" * 24}, {"settings", "secrets"}),
        ("PATCH", {"format": "cognito"}, {"settings", "secrets"}),
        ("PATCH", {"expected_interval": 600}, {"settings"}),
        ("DELETE", None, {"settings", "secrets"}),
    ],
)
def test_settings_and_secrets_of_a_source_are_changed_by_one_request_at_a_time(
    method: str, document: object, touches: set[str]
) -> None:
    world = World()
    world.done("PUT", "/sources/app", {"format": "keycloak", "secret": "s" * 24})
    world.touched.clear()

    status, _ = world.ask(method, "/sources/app", document)

    assert status == (204 if method == "DELETE" else 200)
    assert {*world.touched} == {(each, True) for each in touches}


def test_a_secret_that_is_not_needed_can_be_removed() -> None:
    world = World()
    world.done("PUT", "/sources/app", {**source_of("security-event-token", is_full=False), "secret": SECRETS["okta"]})

    world.done("PATCH", "/sources/app", {"expected_interval": 600})
    kept = dict(world.secrets)
    world.done("PATCH", "/sources/app", {"secret": None})

    assert (list(kept.values()), world.secrets) == ([[SECRETS["okta"]]], {})
    assert world.sources["app"].secret_name is None


def test_a_format_without_a_secret_takes_the_place_of_one_with_it() -> None:
    world = World()
    world.done("PUT", "/sources/app", {"format": "keycloak", "secret": "s" * 24})

    world.done("PATCH", "/sources/app", {"format": "cognito"})

    assert (world.secrets, world.sources["app"].secret_name) == ({}, None)


def test_what_a_format_must_be_told_was_not_said_of_another() -> None:
    world = World()
    world.done("PUT", "/sources/app", {"format": "keycloak", "secret": "s" * 24, "sid_trust": "claim"})

    refused = world.ask("PATCH", "/sources/app", {"format": "workos", "secret": SECRET})
    world.done("PATCH", "/sources/app", {"format": "workos", "secret": SECRET, "sid_trust": "claim"})

    assert (refused[0], refused[1]["detail"]) == (400, "sid_trust is needed for this format")
    assert world.sources["app"].format == "workos"


# --- Encryption -------------------------------------------------------------------------------------------------------


def test_a_patch_that_ends_encryption_removes_both_members_and_is_told_so() -> None:
    alg, enc = "id_token_encrypted_response_alg", "id_token_encrypted_response_enc"
    world = World()
    encrypted = world.done("PUT", "/clients/wiki", {alg: "RSA-OAEP", "jwks": {"keys": [public_jwk("RSA")]}})

    status, refused = world.ask("PATCH", "/clients/wiki", {alg: None})
    plain = world.done("PATCH", "/clients/wiki", {alg: None, enc: None})

    assert encrypted[enc] == "A128CBC-HS256"  # the operator has never named it
    assert (status, refused["code"]) == (400, "registration_invalid")
    assert all(word in refused["detail"] for word in (alg, enc, "null for both"))
    assert (plain[alg], plain[enc]) == (None, None)


# --- Pauses -----------------------------------------------------------------------------------------------------------


def test_who_paused_a_client_is_who_did_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(1_788_256_800_000, 1000)
    monkeypatch.setattr("backchannel.api.clients.now", lambda: next(clock))
    world = World()
    world.done("PUT", "/clients/wiki", {})

    first = world.done("POST", "/clients/wiki/pause")
    monkeypatch.setattr("backchannel.api.clients.requester", lambda _: "arn:aws:iam::123456789012:user/other")
    again = [world.done("POST", "/clients/wiki/pause"), world.done("PATCH", "/clients/wiki", {"paused": True})]

    assert again == [first, first]
    assert first["paused_by"] == BY


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [("POST", "/resume", None), ("PATCH", "", {"paused": False}), ("PATCH", "", {"paused": None}), ("PUT", "", {})],
)
def test_who_resumed_a_client_is_shown_from_then_on(
    method: str, path: str, document: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "arn:aws:iam::123456789012:user/other"
    world = World()
    world.done("PUT", "/clients/wiki", {"paused": True})

    monkeypatch.setattr("backchannel.api.clients.requester", lambda _: other)
    resumed = world.done(method, f"/clients/wiki{path}", document)
    monkeypatch.undo()
    world.done("POST", "/clients/wiki/resume")
    world.done("PATCH", "/clients/wiki", {"exp": 60})
    world.done("PUT", "/clients/wiki", {})
    paused = world.done("POST", "/clients/wiki/pause")

    assert (resumed["resumed_by"], resumed["paused_by"]) == (other, None)
    assert (paused["resumed_by"], paused["resumed_at"], paused["paused_by"]) == (other, resumed["resumed_at"], BY)


def test_a_client_that_nobody_has_paused_was_resumed_by_nobody() -> None:
    world = World()
    world.done("PUT", "/clients/wiki", {})

    resumed = world.done("POST", "/clients/wiki/resume")

    assert (resumed["resumed_by"], resumed["resumed_at"]) == (None, None)


def test_a_client_that_could_not_be_registered_any_more_can_be_paused_all_the_same() -> None:
    world = World(clients={"wiki": Client("wiki", "https://10.0.0.1/logout", allowed_networks=("0.0.0.0/0",))})

    assert world.done("POST", "/clients/wiki/pause")["paused"] is True
    assert world.ask("PATCH", "/clients/wiki", {"exp": 60})[0] == 400


@pytest.mark.parametrize(
    ("requests", "woken"),
    [
        ([("POST", "/resume", None)], 1),
        ([("PATCH", "", {"paused": False})], 1),
        ([("PUT", "", {})], 1),  # replaced by one that is not paused
        ([("PATCH", "", {"exp": 60})], 0),
        ([("POST", "/resume", None), ("POST", "/resume", None)], 2),  # the first may have died before it queued anything
        ([("POST", "/resume", None), ("PUT", "", {})], 1),
    ],
)
def test_whoever_resumes_a_client_wakes_what_waits(requests: list[tuple[str, str, object]], woken: int) -> None:
    world = World()
    world.done("PUT", "/clients/wiki", {"paused": True})

    for method, path, document in requests:
        world.done(method, f"/clients/wiki{path}", document)

    assert [each.delay for each in world.queue.sent] == [0, 10_000] * woken


@pytest.mark.parametrize("route", ["pause", "resume"])
def test_nobody_is_paused_whom_nobody_has_registered(route: str) -> None:
    status, answer = World().ask("POST", f"/clients/wiki/{route}")

    assert (status, answer["code"]) == (NotFoundError.status, NotFoundError.code)


def test_a_client_that_was_resumed_long_ago_is_not_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    began, world, woken = 1_788_256_800_000, World(), []
    world.done("PUT", "/clients/wiki", {"paused": True})

    for after in (0, 299_999, 300_000):
        monkeypatch.setattr("backchannel.api.clients.now", lambda at=began + after: at)
        world.done("POST", "/clients/wiki/resume")
        woken.append(len(world.queue.sent))

    assert woken == [2, 4, 4]
