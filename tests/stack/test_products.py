"""docs/providers/<product>.md: its requests are made; each sample has exactly its effect through what they configure.

For ZITADEL, WorkOS, Clerk, Logto, FusionAuth, Hanko, PingOne, PingAM. As in test_samples, nobody's other sessions end.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from local.client import Response, Stack
from tests.stack.tokens import verified
from tests.support.logout_tokens import TokenSigner
from tests.support.provider import LOOPBACK, Json, Provider, new_secret
from tests.support.relying_party import RelyingParty
from tests.support.samples import IGNORED, STARTED, Effect, People
from tests.support.senders_products import digest_in_base64, timestamped
from tests.support.snippets import blocks, exchanges
from tests.support.unspeakable import note
from tests.support.upstream import DISCOVERY, JWKS, UpstreamServer
from tests.unit.fakes import EVENTS, sample

pytestmark = pytest.mark.senders

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs" / "providers"

USER, USER_DISABLED, USER_DELETED = "user", Effect("user", "user_disabled"), Effect("user", "user_deleted")
NEW_PASSWORD, LOGOUT, REVOKED = (
    Effect("user", "credential_changed"),
    Effect("session", "logout"),
    Effect("session", "session_revoked"),
)
UNMAPPABLE = Effect()
"""It is answered as what is ignored."""


@dataclass(frozen=True)
class Product:
    """A product: what its page calls things, who is in its samples, how it signs, and what its samples cause at a source.

    ``event_id`` of an end of all sessions of a user.
    """

    issuer: str
    subs: tuple[str, ...]
    sids: tuple[str, ...]
    client_id: str | None
    sign: Callable[["Scene", Json], tuple[bytes, Json]]
    event_id: Callable[[Json], str]
    effects: Mapping[str, Mapping[str, Effect]]
    secret: str | None = None
    makes_secret: Callable[[], str] = lambda: note(secrets.token_urlsafe(24))
    administrators: tuple[str, ...] = ()
    document: Callable[[Json], Json] = lambda sample: sample


def _compact(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _zitadel(scene: "Scene", document: Json) -> tuple[bytes, Json]:
    body = _compact(document)
    return body, timestamped("ZITADEL-Signature", int(time.time()), body, scene.secret)


def _workos(scene: "Scene", document: Json) -> tuple[bytes, Json]:
    body = _compact(document)
    return body, timestamped("WorkOS-Signature", round(time.time() * 1000), body, scene.secret, ", ")


def _clerk(scene: "Scene", document: Json) -> tuple[bytes, Json]:
    body, now = _compact(document), int(time.time())
    key = base64.b64decode(scene.secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{scene.event_id}.{now}.".encode() + body, hashlib.sha256)).decode()
    return body, {"svix-id": scene.event_id, "svix-timestamp": str(now), "svix-signature": f"v1,{signature}"}


def _logto(scene: "Scene", document: Json) -> tuple[bytes, Json]:
    body = _compact(document)
    return body, {"logto-signature-sha-256": hmac.digest(scene.secret.encode(), body, hashlib.sha256).hex()}


def _fusionauth(scene: "Scene", document: Json) -> tuple[bytes, Json]:
    body = _compact(document)
    return body, {"X-FusionAuth-Signature-JWT": scene.signer.sign({"request_body_sha256": digest_in_base64(body)}, typ="JWT")}


def _hanko(scene: "Scene", claims: Json) -> tuple[bytes, Json]:
    return _compact({"token": note(scene.signer.sign(claims, typ=None)), "event": claims["evt"]}), {}


def _pingone(scene: "Scene", document: Json) -> tuple[bytes, Json]:
    return _compact([document]), {"Authorization": f"Bearer {scene.secret}"}  # type: ignore[arg-type] # a batch


PINGAM = Product(
    "https://am.example.com/am/oauth2/realms/root/realms/customer",
    (),
    (),
    None,
    lambda scene, document: (_compact(document), {"Authorization": f"Bearer {scene.secret}"}),
    lambda _: "",
    {},
    secret="<at least 24 visible characters>",
)
"""Its samples are those of the generic format, and in test_samples."""

PRODUCTS: Mapping[str, Product] = {
    "zitadel": Product(
        "https://idp.example.com",
        ("300000000000083001",),
        ("300000000000005555",),
        "300000000000000900",
        _zitadel,
        lambda document: f"{document['aggregateID']}:{document['sequence']}",
        {
            "events": {
                "oidc_session.added": STARTED,
                "oidc_session.added-machine": IGNORED,
                "oidc_session.refresh_token.revoked": IGNORED,
                "session.terminated": LOGOUT,
                "user.deactivated-inferred": USER_DISABLED,
                "user.human.password.changed": NEW_PASSWORD,
                "user.human.signed.out": LOGOUT,
                "user.human.signed.out-base64": LOGOUT,
                "user.locked-inferred": USER_DISABLED,
                "user.removed": USER_DELETED,
            }
        },
        secret="<the target's signing key>",
        administrators=("300000000000000901", "300000000000077001"),
    ),
    "workos": Product(
        "https://idp.example.com",
        ("user_01EXAMPLE00000000000008F3C",),
        ("session_01EXAMPLE000000000005E55",),
        None,
        _workos,
        lambda document: str(document["id"]),
        {"events": {"session.revoked": REVOKED, "user.deleted-inferred": USER_DELETED}},
        secret="<the endpoint's signing secret>",
    ),
    "clerk": Product(
        "https://clerk.example.com",
        ("user_2AAAAAAAAAAAAAAAAAAAAAAAAAA",),
        ("sess_2AAAAAAAAAAAAAAAAAAAAAAAAAA",),
        None,
        _clerk,
        lambda _: "",
        {
            "events": {
                "session.created": IGNORED,
                "session.ended": Effect(USER, "logout"),
                "session.removed-inferred": Effect(USER, "logout"),
                "session.revoked": Effect(USER, "session_revoked"),
                "user.deleted": USER_DELETED,
            },
            "apps": {
                "session.created": IGNORED,
                "session.ended": LOGOUT,
                "session.removed-inferred": LOGOUT,
                "session.revoked": REVOKED,
                "user.deleted": USER_DELETED,
            },
        },
        secret="whsec_<the endpoint's signing secret>",
        makes_secret=new_secret,
    ),
    "logto": Product(
        "https://idp.example.com/oidc",
        ("8f3clogtouser",),
        (),
        "wiki0000000000000000w",
        _logto,
        lambda document: f"{document['event']}:{document['createdAt']}:{_logto_user(document)}",
        {
            "events": {
                "PostSignIn": STARTED,
                "PostRegister-inferred": STARTED,
                "PostResetPassword-inferred": NEW_PASSWORD,
                "User.SuspensionStatus.Updated-inferred": USER_DISABLED,
                "User.SuspensionStatus.Updated-active-inferred": IGNORED,
                "User.Deleted-inferred": USER_DELETED,
            }
        },
        secret="<the webhook's signing key>",
    ),
    "fusionauth": Product(
        "https://idp.example.com",
        ("8f3c0000-0000-4000-8000-000000000001",),
        (),
        "a0000000-0000-4000-8000-000000000001",
        _fusionauth,
        lambda document: str(document["event"]["id"]),
        {
            "events": {
                "jwt.refresh-token.revoke-single": Effect("user at wiki", "logout"),
                "jwt.refresh-token.revoke-user-inferred": Effect(USER, "logout"),
                "jwt.refresh-token.revoke-application-inferred": IGNORED,
                "user.deactivate-inferred": USER_DISABLED,
                "user.delete-inferred": USER_DELETED,
                "user.login.success-inferred": STARTED,
                "user.password.update-inferred": NEW_PASSWORD,
            },
            "events-without-tokens": {
                "jwt.refresh-token.revoke-single": IGNORED,
                "jwt.refresh-token.revoke-user-inferred": IGNORED,
                "user.deactivate-inferred": USER_DISABLED,
            },
        },
    ),
    "hanko": Product(
        "https://idp.example.com",
        ("8f3c0000-0000-4000-8000-000000000001",),
        ("5e550000-0000-4000-8000-000000000001",),
        None,
        _hanko,
        lambda claims: f"{claims['evt']}:{claims['data']['id']}",
        {
            "events": {
                "session.delete": LOGOUT,
                "session.delete.passive.expire-inferred": Effect("session", "expired"),
                "user.delete-inferred": USER_DELETED,
            }
        },
        document=lambda sample: dict(sample["jwt_payload"]),
    ),
    "pingone": Product(
        "https://auth.pingone.example/e9/as",
        ("8f3c0000-0000-4000-8000-0000000000b1",),
        ("5e550000-0000-4000-8000-0000000000b3",),
        None,
        _pingone,
        lambda document: str(document["id"]),
        {
            "events": {
                "USER.DELETED": USER_DELETED,
                "PASSWORD.RESET": NEW_PASSWORD,
                "PASSWORD.SET": NEW_PASSWORD,
                "USER.ACCESS_ALLOWED": IGNORED,
                "USER.LOCKED-inferred": USER_DISABLED,
                "SESSION.DELETED-inferred": UNMAPPABLE,
            }
        },
        secret="<at least 24 visible characters>",
        administrators=("ad310000-0000-4000-8000-0000000000b2",),
    ),
}


def _logto_user(document: Json) -> str:
    return str(document.get("userId") or document["params"]["userId"])


@dataclass
class Scene(People):
    """A provider as a product's page configures it, with two relying parties."""

    product: Product = field(kw_only=True)
    document: str = field(kw_only=True)
    server: UpstreamServer = field(kw_only=True)
    signer: TokenSigner = field(kw_only=True)
    rps: Mapping[str, RelyingParty] = field(kw_only=True)
    secret: str = field(kw_only=True)

    def here(self, text: str) -> str:
        """Return a text of the page with the names of this scene."""
        names = {
            f"{self.product.issuer}/.well-known/jwks.json": self.server.url + JWKS,
            self.product.issuer: self.provider.issuer,
            "/providers/customer": self.provider.path,
        }
        names |= {} if self.product.secret is None else {self.product.secret: self.secret}
        for there, name in names.items():
            text = text.replace(there, name)
        return text

    def configure(self) -> None:
        """Make the page's requests; what the relying party is called is different here, and there is one more."""
        for exchange in exchanges(self.document):
            path, body = self.here(exchange.path), self.here(dedent(exchange.body))
            _, is_client, client_id = path.partition("/clients/")
            members = json.loads(body)
            for name in ("wiki", "mail") if is_client else ():
                assert client_id == "wiki"
                known = {"backchannel_logout_uri": self.rps[name].uri(), "allowed_networks": LOOPBACK}
                reasons = ["logout", "expired", "credential_changed", "session_revoked", "user_disabled", "user_deleted"]
                self.provider.put(f"/clients/{name}", {**members, **known, "logout_reasons": reasons})
            if not is_client:
                answer = self.provider.stack.request(exchange.method, path, body=body.encode(), signed=True)
                assert answer.status in {200, 201}, (exchange, answer)
                assert not path.endswith("/preview") or len(answer.body["events"]) == 1, (exchange, answer)

    def of_now(self, document: Any) -> Any:
        """Return a sample as if it happened now, here, to the people of this test."""
        if isinstance(document, str):
            names = dict.fromkeys(self.product.subs, self.sub) | dict.fromkeys(self.product.sids, self.sid)
            names |= dict.fromkeys(self.product.administrators, self.administrator)
            names |= {} if self.product.client_id is None else {self.product.client_id: "wiki"}
            return names.get(document, document)
        if isinstance(document, dict):
            moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            seconds = int(time.time())
            moments: Json = dict.fromkeys(("created_at", "createdAt", "recordedAt"), moment)
            moments |= dict.fromkeys(("timestamp", "createInstant"), round(time.time() * 1000))
            moments |= {"iat": seconds, "exp": seconds + 300}
            return {key: moments.get(key, self._payload(key, value)) for key, value in document.items()}
        return [self.of_now(each) for each in document] if isinstance(document, list) else document

    def _payload(self, name: str, value: Any) -> Any:
        if name != "event_payload" or not isinstance(value, str):
            return self.of_now(value)
        payload = self.of_now(json.loads(base64.b64decode(value)))
        return base64.b64encode(json.dumps(payload).encode()).decode()

    def send(self, document: Json, source: str = "events") -> Response:
        body, headers = self.product.sign(self, document)
        return self.provider.stack.request("POST", f"/webhooks/{self.provider.name}/{source}", body=body, headers=headers)


@pytest.fixture(scope="module")
def scenes(stack: Stack) -> Iterator[Callable[[str], Scene]]:
    with ExitStack() as running:
        made: dict[str, Scene] = {}

        def of(name: str) -> Scene:
            if name not in made:
                product, provider = PRODUCTS.get(name, PINGAM), Provider(stack)
                server = running.enter_context(UpstreamServer(""))
                provider.issuer = server.url
                signer = TokenSigner(provider.issuer)
                metadata = server.pages[DISCOVERY]
                assert isinstance(metadata, dict)
                metadata["issuer"] = provider.issuer
                server.pages[JWKS] = signer.jwk_set
                made[name] = Scene(
                    provider,
                    product=product,
                    document=(DOCUMENTS / f"{name}.md").read_text(),
                    server=server,
                    signer=signer,
                    rps={client_id: running.enter_context(RelyingParty()) for client_id in ("wiki", "mail")},
                    secret=product.makes_secret(),
                )
                made[name].configure()
            return made[name]

        yield of


CASES = [
    (name, source, kind, effect)
    for name, product in PRODUCTS.items()
    for source, effects in product.effects.items()
    for kind, effect in effects.items()
]


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_sample_of_a_product_is_in_its_table(name: str) -> None:
    samples = {path.name.removeprefix(f"{name}-").removesuffix(".json") for path in EVENTS.glob(f"{name}-*.json")}

    assert samples == PRODUCTS[name].effects["events"].keys()


@pytest.mark.parametrize(("name", "source", "kind", "effect"), CASES, ids=[" ".join(case[:3]) for case in CASES])
def test_a_sample_has_exactly_its_effect(
    scenes: Callable[[str], Scene], name: str, source: str, kind: str, effect: Effect
) -> None:
    scene = scenes(name)
    scene.begin()
    scene.expect(effect)
    document = scene.of_now(scene.product.document(sample(f"{name}-{kind}.json")))
    scene.event_id = scene.product.event_id(document) or scene.event_id

    answer = scene.send(document, source)

    is_ignored = not effect.starts and effect.ends is None
    assert answer.body == {"started": int(effect.starts), "ended": int(effect.ends is not None), "ignored": int(is_ignored)}
    assert answer.status == 200
    scene.check(effect, has_sid=bool(scene.product.sids))


@pytest.mark.parametrize("name", PRODUCTS)
def test_an_altered_webhook_and_one_without_a_proof_are_refused(scenes: Callable[[str], Scene], name: str) -> None:
    scene = scenes(name)
    scene.begin()
    kind = next(kind for kind, effect in scene.product.effects["events"].items() if effect.ends is not None)
    body, headers = scene.product.sign(scene, scene.of_now(scene.product.document(sample(f"{name}-{kind}.json"))))
    sent = [(body, {**headers, header: value[:-12] + "AAAAAAAAAAAA"}) for header, value in headers.items()]
    sent += [(body, {}) for _ in headers]
    if name != "pingone":  # whose header proves no body
        sent.append((body[:20] + b"~" + body[21:], headers))

    path = f"/webhooks/{scene.provider.name}/events"
    answers = [scene.provider.stack.request("POST", path, body=octets, headers=proof) for octets, proof in sent]

    assert {(each.status, each.body["code"]) for each in answers} == {(401, "signature_invalid")}
    assert scene.ended() == set()


def test_zitadels_events_become_a_token_that_a_relying_party_accepts(scenes: Callable[[str], Scene]) -> None:
    scene = scenes("zitadel")
    scene.begin()
    scene.expect(STARTED)
    before = len(scene.rps["wiki"].tokens)

    for kind in ("oidc_session.added", "session.terminated"):
        assert scene.send(scene.of_now(sample(f"zitadel-{kind}.json"))).status == 200

    scene.provider.wait_until(scene.provider.logout_of_session(scene.sid), "accepted")
    (token,) = scene.rps["wiki"].tokens[before:]
    claims = verified(scene.provider, token).claims
    assert (claims["iss"], claims["aud"]) == (scene.provider.issuer, "wiki")
    assert (claims["sub"], claims["sid"]) == (scene.sub, scene.sid)


def test_clerks_event_becomes_a_token_that_each_relying_party_accepts(scenes: Callable[[str], Scene]) -> None:
    scene = scenes("clerk")
    scene.begin()
    before = {name: len(rp.tokens) for name, rp in scene.rps.items()}

    assert scene.send(scene.of_now(sample("clerk-session.ended.json"))).status == 200

    scene.check(Effect(USER, "logout"))
    for name, rp in scene.rps.items():
        (token,) = rp.tokens[before[name] :]
        claims = verified(scene.provider, token).claims
        assert (claims["iss"], claims["aud"], claims["sub"]) == (scene.provider.issuer, name, scene.sub)
        assert "sid" not in claims


def test_a_batch_of_pingones_is_answered_with_200_whatever_is_in_it(scenes: Callable[[str], Scene]) -> None:
    scene = scenes("pingone")
    scene.begin()
    good = scene.of_now(sample("pingone-USER.DELETED.json"))
    body = json.dumps([scene.of_now(sample("pingone-USER.ACCESS_ALLOWED.json")), {"action": 7}, good]).encode()
    headers = {"Authorization": f"Bearer {scene.secret}"}

    answer = scene.provider.stack.request("POST", f"/webhooks/{scene.provider.name}/events", body=body, headers=headers)

    assert answer.status == 200
    assert answer.body == {"started": 0, "ended": 1, "ignored": 1, "refused": [{"index": 1, "code": "malformed_request"}]}
    scene.event_id = good["id"]
    scene.check(USER_DELETED)


@pytest.mark.parametrize(("kind", "reason"), [("LOGOUT", "logout"), ("DESTROY", "logout"), ("UPGRADE", None)])
def test_the_template_for_pingam_makes_the_end_of_a_session(
    scenes: Callable[[str], Scene], kind: str, reason: str | None
) -> None:
    scene = scenes("pingam")
    scene.begin()
    (template,) = [dedent(content) for _, content in blocks(scene.document, "json")]
    for name, value in {"${AMCtxId}": scene.sid, "${UserId}": scene.sub, "${WebhookEventType}": kind}.items():
        template = template.replace(name, value)

    answer = scene.send(json.loads(template), kind)

    assert answer.status == (401 if reason is None else 200)
    scene.event_id = f"{scene.sid}-{kind}"
    scene.check(Effect() if reason is None else Effect(USER, reason))
