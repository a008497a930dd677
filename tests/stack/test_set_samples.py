"""Security Event Tokens through the deployed stack: each sample has exactly its effect, and the answer is that of RFC 8935."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from local.client import Response, Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.logout_tokens import TokenSigner
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider
from tests.support.relying_party import RelyingParty
from tests.support.samples import IGNORED, Effect, People
from tests.support.snippets import blocks, exchanges, sections
from tests.support.unspeakable import new_id, note
from tests.support.upstream import JWKS, UpstreamServer
from tests.unit.fakes import EVENTS, sample

pytestmark = pytest.mark.senders

AUDIENCE = "https://hub.example.test/webhooks/idp/ssf"
OURS = frozenset({"https://idp.example.test/", "https://acme.okta.example"})
SUBS = frozenset({"ada", "8f3cuser", "00u00000000000008f3c7", "ada@example.test", "user@example.com"})

UNMAPPABLE = Effect(code="unmappable")
COMPROMISED = Effect("user", "compromised")

EFFECTS: dict[str, dict[str, Effect]] = {
    "authentik-set-credential-change": {"ssf": UNMAPPABLE, "emails": Effect("user", "credential_changed")},
    "authentik-set-verification": {"ssf": IGNORED, "emails": IGNORED},
    "okta-set-session-revoked": {"ssf": UNMAPPABLE, "wide": Effect("user", "session_revoked")},
    "set-caep-credential-change": {"ssf": Effect("user", "credential_changed"), "chosen": IGNORED},
    "set-caep-session-established": {"ssf": IGNORED},
    "set-caep-session-presented": {"ssf": IGNORED},
    "set-caep-session-revoked-complex": {"ssf": Effect("session", "admin_logout"), "chosen": IGNORED},
    "set-caep-session-revoked-email": {"ssf": UNMAPPABLE, "emails": Effect("user", "session_revoked")},
    "set-caep-session-revoked-iss_sub": {"ssf": Effect("user", "session_revoked"), "narrow": UNMAPPABLE},
    "set-caep-session-revoked-opaque": {"ssf": Effect("session", "session_revoked")},
    "set-caep-session-revoked-other-issuer": {"ssf": UNMAPPABLE, "wide": UNMAPPABLE},
    "set-inferred-authentik-session-revoked": {"ssf": Effect("session", "logout"), "emails": Effect("session", "logout")},
    "set-inferred-google-account-disabled": {"ssf": COMPROMISED},
    "set-inferred-google-credential-change-required": {"ssf": IGNORED, "chosen": Effect("user", "credential_changed")},
    "set-inferred-google-tokens-revoked": {"ssf": IGNORED, "chosen": Effect("user", "logout")},
    "set-inferred-keycloak-session-ALL": {"ssf": Effect("user", "admin_logout"), "narrow": Effect("user", "admin_logout")},
    "set-inferred-user-with-device": {"ssf": UNMAPPABLE, "wide": Effect("user", "session_revoked")},
    "set-invalid-aud": {"ssf": Effect(code="invalid_audience")},
    "set-invalid-exp": {"ssf": Effect(code="invalid_request")},
    "set-risc-account-disabled": {"ssf": COMPROMISED},
    "set-risc-sessions-revoked": {"ssf": Effect("user", "session_revoked")},
    "set-ssf-stream-updated": {"ssf": IGNORED},
    "set-ssf-verification": {"ssf": IGNORED, "verified": IGNORED, "verified otherwise": Effect(code="invalid_state")},
}

SOURCES: dict[str, Json] = {
    "ssf": {},
    "emails": {"email_is_sub": True},
    "wide": {"unnamed_session": "end_subject", "widen_subjects": True},
    "narrow": {"unnamed_session": "report"},
    "chosen": {"ends_sessions": ["token_revoked", "credential_change_required"]},
    "verified": {"verification_state": "c3RhdGU="},
    "verified otherwise": {"verification_state": "another"},
}
"""The settings of the sources, by their names but for the spaces."""

CASES = [(name, source) for name, sources in EFFECTS.items() for source in sources]


@dataclass
class Transmitter(People):
    """A provider with a transmitter, and people whom its SETs are about."""

    signer: TokenSigner = field(kw_only=True)

    def send(self, name: str, source: str) -> Response:
        document = sample(f"{name}.json")
        claims = self.of_now(document.get("claims", document))
        aud = claims["aud"] if name == "set-invalid-aud" else AUDIENCE
        return self.push({**claims, "iss": self.provider.issuer, "aud": aud}, source)

    def push(self, claims: Json, source: str = "ssf", typ: str | None = "secevent+jwt", **signing: Any) -> Response:
        token = note(self.signer.sign(claims, typ=typ, **signing))
        return self.post(token.encode(), source)

    def post(self, body: bytes, source: str = "ssf", **headers: str) -> Response:
        headers = {"Content-Type": "application/secevent+jwt", **headers}
        path = f"/webhooks/{self.provider.name}/{source.replace(' ', '-')}"
        return self.provider.stack.request("POST", path, body=body, headers=headers)

    def claims(self, event: str, **members: Any) -> Json:
        """Return the claims of a SET about the user; ``event`` as in ``caep/credential-change``."""
        of, _, name = event.partition("/")
        events = {f"https://schemas.openid.net/secevent/{of}/event-type/{name}": members}
        about = {"format": "iss_sub", "iss": self.provider.issuer, "sub": self.sub}
        beside = {"iss": self.provider.issuer, "aud": AUDIENCE, "jti": self.event_id, "iat": int(time.time())}
        return {**beside, "sub_id": about, "events": events}

    def of_now(self, document: Any) -> Any:
        """Return a sample as if it happened now, here, to the people of this test."""
        if isinstance(document, str):
            names = dict.fromkeys(SUBS, self.sub) | dict.fromkeys(OURS, self.provider.issuer) | {"sid-0001": self.sid}
            return names.get(document, document)
        if isinstance(document, dict):
            now = int(time.time())
            at = round(time.time() * 1000) if document.get("event_timestamp", 0) > 10**11 else now
            moments = {"iat": now, "exp": now + 120, "event_timestamp": at, "jti": self.event_id}
            return {key: moments.get(key, self.of_now(value)) for key, value in document.items()}
        return [self.of_now(each) for each in document] if isinstance(document, list) else document

    def counts(self, source: str) -> Json:
        """Return the counts of a source, but for refusals, which are not written at once."""
        shown: Json = self.provider.get(f"/sources/{source.replace(' ', '-')}")["activity"]["counts"]
        return {name: count for name, count in shown.items() if name != "refused"}


@pytest.fixture(scope="module")
def transmitter(stack: Stack) -> Iterator[Transmitter]:
    with ExitStack() as running:
        provider = Provider(stack)
        provider.create()
        server = running.enter_context(UpstreamServer(provider.issuer))
        signer = TokenSigner(provider.issuer)
        server.pages[JWKS] = signer.jwk_set
        provider.put("", {"issuer": provider.issuer, "upstream": server.upstream})
        for client_id in ("wiki", "mail"):
            provider.register_client(running.enter_context(RelyingParty()), client_id)
        for name, settings in SOURCES.items():
            provider.put_source(name.replace(" ", "-"), format="security-event-token", audience=AUDIENCE, **settings)
        yield Transmitter(provider, signer=signer)


def test_every_sample_of_a_set_is_in_the_table() -> None:
    patterns = ("set-*", "authentik-set-*", "okta-set-*")

    assert {path.stem for pattern in patterns for path in EVENTS.glob(f"{pattern}.json")} == EFFECTS.keys()


@pytest.mark.parametrize(("name", "source"), CASES)
def test_a_set_has_exactly_its_effect(transmitter: Transmitter, name: str, source: str) -> None:
    effect = EFFECTS[name][source]
    transmitter.begin()
    before = transmitter.counts(source)

    answer = transmitter.send(name, source)

    if effect.code not in {None, "unmappable"}:
        assert (answer.status, answer.body["err"]) == (400, effect.code)
    else:
        assert (answer.status, answer.body) == (202, None)
        counted = "ended" if effect.ends else effect.code or "ignored"
        until(lambda: transmitter.counts(source), holds=lambda shown: shown == {**before, counted: before[counted] + 1})
    transmitter.check(effect)


def test_a_set_becomes_a_token_that_a_relying_party_accepts(transmitter: Transmitter, relying_party: MakeRelyingParty) -> None:
    rp, provider = relying_party(), transmitter.provider
    client_id = provider.register_client(rp)
    transmitter.begin()
    provider.post("/sessions", {"sub": transmitter.sub, "sid": transmitter.sid, "client_id": client_id})
    claims = transmitter.claims("caep/session-revoked", initiating_entity="user")

    answer = transmitter.push({**claims, "sub_id": {"format": "opaque", "id": transmitter.sid}})

    assert answer.status == 202
    until(lambda: len(rp.tokens) == 1, seconds=20)
    claims = verified(provider, *rp.tokens).claims
    assert (claims["aud"], claims["sub"], claims["sid"]) == (client_id, transmitter.sub, transmitter.sid)
    provider.wait_until(provider.logout_of_session(transmitter.sid), *["accepted"] * 3)


def test_a_repeated_set_is_taken_and_changes_nothing(transmitter: Transmitter, relying_party: MakeRelyingParty, aws: Aws) -> None:
    rp = relying_party()
    client_id = transmitter.provider.register_client(rp)
    transmitter.begin()
    transmitter.provider.post("/sessions", {"sub": transmitter.sub, "sid": new_id("sid"), "client_id": client_id})
    claims = transmitter.claims("risc/account-purged")

    answers = [transmitter.push(claims) for _ in range(3)]
    until(lambda: len(rp.tokens) == 1, seconds=20)
    aws.wait_until_handled(transmitter.provider.name)

    assert [each.status for each in answers] == [202, 202, 202]
    assert len(rp.tokens) == 1


def test_a_transmitter_is_answered_as_rfc_8935_shows(transmitter: Transmitter) -> None:
    transmitter.begin()
    documented = sample("rfc8935-responses.json")

    taken = transmitter.push(transmitter.claims("risc/account-enabled"))
    refused = transmitter.push({**transmitter.claims("risc/account-enabled"), "exp": 1})

    assert (taken.status, taken.body) == (documented["success"]["status"], None)
    assert refused.status == documented["error"]["status"]
    assert refused.headers["content-type"] == documented["error"]["headers"]["Content-Type"]
    assert refused.headers["content-language"] == documented["error"]["headers"]["Content-Language"]
    assert refused.body == {"err": "invalid_request", "description": "exp must not be there"}


def test_nobody_finds_out_which_sources_there_are(transmitter: Transmitter) -> None:
    transmitter.begin()
    claims = transmitter.claims("risc/account-purged")
    forged = transmitter.signer.sign(claims, RSAKey.generate_key(2048, {"kid": "rsa"}), typ="secevent+jwt")
    id_token = transmitter.signer.sign({"iss": transmitter.provider.issuer, "sub": "ada", "aud": "wiki"}, typ="JWT")
    sources = ("ssf", SOURCE, f"none-{secrets.token_hex(4)}")

    sets = [transmitter.post(body, source) for body in (b"", b"a.b.c", forged.encode(), id_token.encode()) for source in sources]
    others = [
        transmitter.post(body, source, **{"Content-Type": kind})
        for source in sources
        for kind, body in {
            "application/json": b"{}",
            "application/jwt": forged.encode(),
            "text/plain": transmitter.signer.sign(claims, typ="secevent+jwt").encode(),
        }.items()
    ]

    assert {(each.status, json.dumps(each.body)) for each in sets} == {(400, json.dumps(sets[0].body))}
    assert sets[0].body["err"] == "authentication_failed"
    assert {(each.status, json.dumps(each.body)) for each in others} == {(401, json.dumps(others[0].body))}


def test_where_a_source_has_a_secret_header_and_signature_must_hold(transmitter: Transmitter) -> None:
    transmitter.begin()
    secret = f"Bearer {note(secrets.token_urlsafe(24))}"
    transmitter.provider.put_source("both", format="security-event-token", audience=AUDIENCE, secret=secret)
    token = transmitter.signer.sign(transmitter.claims("risc/account-enabled"), typ="secevent+jwt").encode()

    with_header, without = transmitter.post(token, "both", Authorization=secret), transmitter.post(token, "both")
    header_alone = transmitter.post(b"a.b.c", "both", Authorization=secret)

    assert [each.status for each in (with_header, without, header_alone)] == [202, 400, 400]
    assert without.body == header_alone.body


def test_a_preview_shows_what_a_set_would_end(transmitter: Transmitter) -> None:
    transmitter.begin()
    path = f"{transmitter.provider.path}/sources/ssf/preview"

    status, shown = transmitter.provider.stack.admin("POST", path, {"payload": transmitter.claims("risc/account-purged")})
    refused, problem = transmitter.provider.stack.admin("POST", path, {"payload": {"iss": "x"}})

    assert (status, [(each["kind"], each["sub"]) for each in shown["events"]]) == (
        200,
        [("subject_sessions_ended", transmitter.sub)],
    )
    assert (refused, problem["code"]) == (400, "security_event_token_invalid")
    assert transmitter.ended() == set()


def test_a_stream_that_stops_is_counted_for_the_alarm_and_logged(transmitter: Transmitter, aws: Aws, began: float) -> None:
    transmitter.begin()
    transmitter.push(transmitter.claims("ssf/stream-updated", status="disabled", reason="no longer licensed"))

    def lines() -> list[Json]:
        return [json.loads(line) for line in aws.log_lines("WebhookLogGroup", began) if line[:1] == "{"]

    found = until(lines, holds=lambda seen: any("licensed" in str(line) for line in seen))
    (warned,) = [line for line in found if "licensed" in str(line.get("status"))]
    written = [line for line in found if "StreamsStopped" in line][-1]
    alarm = aws.client("cloudwatch").describe_alarms(AlarmNames=[aws.physical_id("StreamStoppedAlarm")])["MetricAlarms"][0]

    assert (warned["message"], warned["provider"], warned["source"]) == (
        "webhook.stream_stopped",
        transmitter.provider.name,
        "ssf",
    )
    (described,) = written["_aws"]["CloudWatchMetrics"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (described["Namespace"], "StreamsStopped")
    (dimensions,) = described["Dimensions"]
    assert {name: written[name] for name in dimensions} == {each["Name"]: each["Value"] for each in alarm["Dimensions"]}


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "providers" / "security-event-token.md").read_text()
SECTIONS = {"ssf": "What to configure here", **{name.lower(): name for name in ("authentik", "Keycloak", "Okta", "Google")}}
SECRET = "<a long random text>"


@pytest.mark.parametrize("source", SECTIONS)
def test_what_the_page_configures_takes_the_sets_of_its_transmitter(stack: Stack, source: str) -> None:
    provider = Provider(stack)
    text = sections(PAGE)[SECTIONS[source]].replace(SECRET, provider.secret)
    shown = [each for each in exchanges(text) if each.path.startswith("/providers/acme/sources/")]
    metadata = json.loads(shown[0].body)
    with UpstreamServer(provider.issuer) as server:
        signer = TokenSigner(metadata["token_issuer"])
        server.pages[JWKS] = signer.jwk_set
        provider.put("", {"issuer": provider.issuer})
        provider.put_source(source, **{**metadata, "jwks_uri": server.url + JWKS})
        issuer = metadata.get("subject_issuers", [provider.issuer])[0]
        sub = new_id("sub")
        event = {"subject": {"subject_type": "iss-sub", "iss": issuer, "sub": sub}}
        claims = {
            "iss": metadata["token_issuer"],
            "aud": metadata["audience"],
            "jti": new_id("jti"),
            "iat": int(time.time()),
            "events": {"https://schemas.openid.net/secevent/risc/event-type/sessions-revoked": event},
        }
        headers = {"Content-Type": "application/secevent+jwt", "Authorization": f"Bearer {provider.secret}"}

        typ = None if metadata.get("tolerate_typ") else "secevent+jwt"
        body = note(signer.sign(claims, typ=typ)).encode()
        answer = stack.request("POST", f"/webhooks/{provider.name}/{source}", body=body, headers=headers)

        assert shown[0].path.endswith(f"/{source}")
        assert answer.status == 202, answer
        until(lambda: provider.get(f"/sources/{source}")["activity"]["counts"]["ended"] == 1)


def test_the_stream_that_the_page_makes_at_authentik_leads_to_its_source() -> None:
    text = sections(PAGE)["authentik"]
    (source,) = (json.loads(each.body) for each in exchanges(text))
    ((_, command),) = blocks(text, "console")
    stream = json.loads(command.partition("--data '")[2].rpartition("'")[0])

    assert stream["delivery"]["endpoint_url"].endswith("/webhooks/acme/authentik")
    assert stream["delivery"]["authorization_header"] == source["secret"]
    assert stream["aud"] == [source["audience"]]


def test_the_preview_of_the_page_shows_an_end(transmitter: Transmitter) -> None:
    (shown,) = exchanges(sections(PAGE)["How to try it"])
    payload = json.loads(shown.body.replace('https://idp.example/"', f'{transmitter.provider.issuer}"'))

    status, preview = transmitter.provider.stack.admin("POST", f"{transmitter.provider.path}/sources/ssf/preview", payload)

    assert (status, [each["sub"] for each in preview["events"]]) == (200, ["ada"])
