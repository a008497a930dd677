"""Auth0's samples through the deployed stack, to sources that docs/providers/auth0.md configures: each has exactly its effect."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.client import Response, Stack
from tests.stack.tokens import verified
from tests.support.provider import Json, Provider
from tests.support.relying_party import RelyingParty
from tests.support.samples import IGNORED, STARTED, Effect, People
from tests.support.snippets import exchanges
from tests.support.unspeakable import note
from tests.unit.fakes import EVENTS

pytestmark = pytest.mark.senders

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "providers" / "auth0.md").read_text()
CLIENT = "/clients/aClientIdAAAAAAAAAAAAAAAAAAAAAAA"
SECRET = "Bearer <a long random text>"
UNMAPPABLE = IGNORED

EFFECTS: dict[str, Effect] = {
    "f-ours": IGNORED,
    "jsonobject": Effect("session", "logout"),
    "s": STARTED,
    "s-of-another-domain-ours": IGNORED,
    "sapi-delete-client-ours": IGNORED,
    "sapi-delete-session": Effect("session", "admin_logout"),
    "sapi-delete-user-sessions-ours": Effect("user", "admin_logout"),
    "sapi-revoke-session-ours": Effect("session", "admin_logout"),
    "scp": Effect("user", "credential_changed"),
    "sdu": Effect("user", "user_deleted"),
    "seacft": STARTED,
    "slo": Effect("session", "logout"),
    "slo-without-session-ours": UNMAPPABLE,
    "srrt-ours": IGNORED,  # token_revoked is off by default
    "ssa": STARTED,
}

SUBS = ("auth0|0123456789abcdef01234567", "auth0|8f3c00000000000000000001")
SIDS = ("aAuth0SessionIdAAAAAAAAAAAAAAAAA", "sessEXAMPLE00000000000000000005e55")
CLIENTS = ("aClientIdAAAAAAAAAAAAAAAAAAAAAAA", "wikiEXAMPLE000000000000000000000")


@dataclass
class Tenant(People):
    """A tenant with the sources of the document: the second is where the operator has widened it."""

    rps: dict[str, RelyingParty] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: note("Bearer " + secrets.token_urlsafe(24)))

    def of_now(self, text: str) -> str:
        """Return a sample as if it happened now, to the people of this test."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        names = {
            **dict.fromkeys((*SUBS, SUBS[0].replace("|", "%7C")), self.sub),
            **dict.fromkeys(SIDS, self.sid),
            **dict.fromkeys(CLIENTS, "wiki"),
            **dict.fromkeys(("2026-09-01T10:00:00.000Z", "2026-09-01T08:00:00.000Z"), now),
            **dict.fromkeys(("acme.eu.auth0.com", "login.example.test"), self.provider.issuer.split("/")[2]),
        }
        for there, here in names.items():
            text = text.replace(there, here)
        return text

    def send(self, name: str, source: str = "logs") -> Response:
        content = json.loads(self.of_now((EVENTS / f"auth0-logstream-{name}.json").read_text()))
        for item in content if isinstance(content, list) else [content]:
            item["log_id"] = self.event_id
        return self.post(json.dumps(content).encode(), source)

    def post(self, body: bytes, source: str = "logs", **headers: str) -> Response:
        path = f"/webhooks/{self.provider.name}/{source}"
        return self.provider.stack.request("POST", path, body=body, headers={"Authorization": self.secret, **headers})


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> Iterator[Tenant]:
    with ExitStack() as running:
        provider = Provider(stack)
        provider.issuer = f"https://{provider.name}.auth0.example/"
        tenant = Tenant(provider)
        provider.put("", {"issuer": provider.issuer})
        _, client, *sources = exchanges(DOCUMENT)
        assert client.path.endswith(CLIENT)
        for client_id in ("wiki", "mail"):
            tenant.rps[client_id] = running.enter_context(RelyingParty())
            provider.register_client(tenant.rps[client_id], client_id)
        for each, name in zip(sources, ["logs", "bridge", "widened"], strict=True):
            provider.put_source(name, **json.loads(each.body.replace(SECRET, tenant.secret)))
        yield tenant


def test_every_sample_of_auth0s_log_streams_is_in_the_table() -> None:
    assert {path.stem.removeprefix("auth0-logstream-") for path in EVENTS.glob("auth0-logstream-*.json")} == {*EFFECTS}


@pytest.mark.parametrize(("name", "effect"), EFFECTS.items(), ids=EFFECTS)
def test_a_sample_has_exactly_its_effect(tenant: Tenant, name: str, effect: Effect) -> None:
    tenant.begin()
    tenant.expect(effect)

    answer = tenant.send(name)

    counts = {"started": int(effect.starts), "ended": int(effect.ends is not None)}
    assert (answer.status, answer.body) == (200, {**counts, "ignored": 1 - sum(counts.values())})
    tenant.check(effect)


def test_a_logout_without_a_session_ends_the_users_where_the_operator_has_widened_it(tenant: Tenant) -> None:
    tenant.begin()

    tenant.send("slo-without-session-ours", "widened")

    tenant.check(Effect("user", "logout"))


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/plain"])
def test_json_lines_start_and_end_a_session_and_a_broken_one_is_refused(tenant: Tenant, kind: str) -> None:
    tenant.begin()
    tenant.expect(STARTED)
    first, *others = tenant.of_now((EVENTS / "auth0-logstream-jsonlines.txt").read_text()).splitlines()

    answer = tenant.post("\n".join([first, "{", *others, ""]).encode(), **{"Content-Type": kind})

    refused = [{"index": 1, "code": "malformed_request"}]
    assert (answer.status, answer.body) == (200, {"started": 2, "ended": 1, "ignored": 2, "refused": refused})
    tenant.provider.wait_until(tenant.provider.logout_of_session(tenant.sid), "accepted")
    (session,) = tenant.provider.rp_sessions(sub=tenant.sub)
    assert (session["client_id"], session["sid"], session["ended_at"] is None) == ("wiki", tenant.sid, False)


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer wrong"}])
def test_whoever_has_not_the_whole_header_is_refused(tenant: Tenant, headers: Json) -> None:
    answer = tenant.post(b"[]", **headers)

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")


def test_the_preview_shows_what_one_object_would_cause(tenant: Tenant) -> None:
    tenant.begin()
    payload: Any = json.loads(tenant.of_now((EVENTS / "auth0-logstream-jsonobject.json").read_text()))

    shown = tenant.provider.post("/sources/logs/preview", {"payload": payload})

    assert [(each["kind"], each["sid"]) for each in shown["events"]] == [("session_ended", tenant.sid)]
    tenant.check(IGNORED)


def test_the_preview_takes_an_array_as_it_was_captured(tenant: Tenant) -> None:
    tenant.begin()
    login, logout = (json.loads(tenant.of_now((EVENTS / f"auth0-logstream-{name}.json").read_text()))[0] for name in ("s", "slo"))

    shown = tenant.provider.post("/sources/logs/preview", {"payload": [login, {}, logout]})

    assert [each["kind"] for each in shown["events"]] == ["rp_session_started", "session_ended"]
    assert shown["refused"] == [{"index": 1, "code": "malformed_request"}]
    tenant.check(IGNORED)


def test_from_a_login_and_a_logout_to_a_token_that_the_rp_accepts(tenant: Tenant) -> None:
    tenant.begin()
    tenant.expect(STARTED)
    assert tenant.send("s").body == {"started": 1, "ended": 0, "ignored": 0}
    before = len(tenant.rps["wiki"].requests)

    tenant.send("slo")

    tenant.provider.wait_until(tenant.provider.logout_of_session(tenant.sid), "accepted")
    (request,) = tenant.rps["wiki"].requests[before:]
    claims = verified(tenant.provider, request.token).claims
    assert (claims["iss"], claims["aud"]) == (tenant.provider.issuer, "wiki")
    assert (claims["sub"], claims["sid"]) == (tenant.sub, tenant.sid)
