"""Each sample of authentik, Keycloak and the generic formats has exactly its effect through the deployed stack.

There are sessions of the user whom a sample names, of an administrator and of somebody else. Those that ended are exactly those
that the effect names, for its reason, and nobody's others.
"""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from local.client import Response, Stack
from tests.support.keycloak import Listener
from tests.support.logout_tokens import TokenSigner
from tests.support.provider import SOURCE, Json, Provider
from tests.support.relying_party import RelyingParty
from tests.support.samples import IGNORED, STARTED, UNPROVEN, Effect, People
from tests.support.unspeakable import note
from tests.support.upstream import JWKS, UpstreamServer
from tests.unit.fakes import EVENTS, sample

pytestmark = pytest.mark.senders

AUDIENCE = "backchannel-hub"

SUBS = frozenset(
    {
        "aaaaaaaa-0000-4000-8000-00000000ada1",
        "8f3c0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f",
        *("ada", "8f3cuser"),
    }
)
SIDS = frozenset(
    {
        "aaaaaaaa-0000-4000-8000-000000005e55",
        "5e550123456789ab0123456789ab0123456789ab0123456789ab0123456789ab",
        *("sid-0001", "5e550000-0000-4000-8000-000000000001"),
    }
)
ADMINISTRATOR = "bbbbbbbb-0000-4000-8000-0000000000ad"
"""Whom the samples mean, and who acts in Keycloak's administrative events."""


GENERIC = ("standard-webhooks", "bearer", "signed-jwt")
KEYCLOAK = ("keycloak", "keycloak-jwt")

EFFECTS: dict[str, tuple[tuple[str, ...], Effect]] = {
    "authentik-logout-token": (("logout-token",), Effect("session")),
    "authentik-mapping-jwt": (("signed-jwt",), Effect("user", "credential_changed")),
    "authentik-mapping-rp_session.started": (GENERIC, STARTED),
    "authentik-mapping-test": (GENERIC, IGNORED),
    "authentik-mapping-user.sessions_ended": (GENERIC, Effect("user", "credential_changed")),
    "authentik-webhook-default": (("unsigned",), UNPROVEN),
    "keycloak-p2inc-access.CODE_TO_TOKEN": (KEYCLOAK, STARTED),
    "keycloak-p2inc-access.DELETE_ACCOUNT": (KEYCLOAK, Effect("user", "user_deleted")),
    "keycloak-p2inc-access.LOGIN": (KEYCLOAK, IGNORED),
    "keycloak-p2inc-access.LOGOUT": (KEYCLOAK, Effect("session", "logout")),
    "keycloak-p2inc-access.LOGOUT_ERROR": (KEYCLOAK, IGNORED),
    "keycloak-p2inc-access.REVOKE_GRANT": (KEYCLOAK, Effect("user at wiki", "logout")),
    "keycloak-p2inc-access.REVOKE_GRANT-token": (KEYCLOAK, IGNORED),  # token_revoked is off by default
    "keycloak-p2inc-access.UPDATE_PASSWORD": (KEYCLOAK, Effect("user", "credential_changed")),
    "keycloak-p2inc-access.USER_DISABLED_BY_PERMANENT_LOCKOUT": (KEYCLOAK, Effect("user", "user_disabled")),
    "keycloak-p2inc-access.USER_SESSION_DELETED": (KEYCLOAK, Effect("session", "session_revoked")),
    "keycloak-p2inc-admin.USER-ACTION-logout": (KEYCLOAK, Effect("user", "admin_logout")),
    "keycloak-p2inc-admin.USER-DELETE": (KEYCLOAK, Effect("user", "user_deleted")),
    "keycloak-p2inc-admin.USER-UPDATE-disabled": (KEYCLOAK, Effect("user", "user_disabled")),
    "keycloak-p2inc-admin.USER_SESSION-DELETE": (KEYCLOAK, Effect("session", "admin_logout")),
    "oidc-logout-token-hydra": (("logout-token", "logout-token-tolerant"), Effect("session")),
    "oidc-logout-token-inbound": (("logout-token",), Effect("session")),
    "pingam-logout-webhook": (("bearer",), Effect("session", "logout")),
    "pingam-logout-webhook-untimed-inferred": (("bearer",), Effect("session", "logout")),
    "standardwebhooks-generic-rp_session.started": (GENERIC, STARTED),
    "standardwebhooks-generic-session.ended": (GENERIC, Effect("session", "logout")),
}

EXCEPTIONS = {("oidc-logout-token-hydra", "logout-token"): Effect(code="invalid_request")}
"""It has no ``exp``, which a source may tolerate."""

CASES = [(name, how) for name, (ways, _) in EFFECTS.items() for how in ways]


@dataclass
class Senders(People):
    """A provider with a source for each way to send."""

    signer: TokenSigner = field(kw_only=True)

    def send(self, name: str, how: str) -> Response:
        body, headers = getattr(self, how.replace("-", "_"))(self.of_now(sample(f"{name}.json")))
        source = {"standard-webhooks": SOURCE, "unsigned": SOURCE}.get(how, how)
        return self.provider.stack.request("POST", f"/webhooks/{self.provider.name}/{source}", body=body, headers=headers)

    def of_now(self, document: Any) -> Any:
        """Return a sample as if it happened now, here, to the people of this test."""
        if isinstance(document, str):
            names = dict.fromkeys(SUBS, self.sub) | dict.fromkeys(SIDS, self.sid) | {ADMINISTRATOR: self.administrator}
            for known, here in names.items():
                if document == known or len(known) >= len(ADMINISTRATOR):  # which is also found within a path
                    document = document.replace(known, here)
            return document
        if isinstance(document, dict):
            now = time.time()
            moments = {"time": round(now * 1000), "timestamp": datetime.now(UTC).isoformat()}
            moments |= {"iat": int(now), "exp": int(now) + 120, "iss": self.provider.issuer, "uid": self.event_id}
            return {key: moments.get(key, self.of_now(value)) for key, value in document.items()}
        return [self.of_now(each) for each in document] if isinstance(document, list) else document

    # --- ways to send -------------------------------------------------------------------------------------------------

    def unsigned(self, document: Json) -> tuple[bytes, Json]:
        return json.dumps(document).encode(), {}

    def standard_webhooks(self, document: Json) -> tuple[bytes, Json]:
        body = json.dumps(document).encode()
        return body, self.provider.signature(body, self.event_id)

    def bearer(self, document: Json) -> tuple[bytes, Json]:
        return json.dumps({**document, "id": self.event_id}).encode(), {"Authorization": f"Bearer {self.provider.secret}"}

    def signed_jwt(self, document: Json) -> tuple[bytes, Json]:
        claims = {**document.get("claims", document), "iss": self.provider.issuer, "aud": AUDIENCE, "jti": self.event_id}
        token = self.signer.sign({"exp": int(time.time()) + 300, **claims}, typ="JWT")
        return json.dumps({"token": note(token)}).encode(), {}

    def keycloak(self, document: Json) -> tuple[bytes, Json]:
        return self._listened(document, {"authType": "hmac", "secret": self.provider.secret})

    def keycloak_jwt(self, document: Json) -> tuple[bytes, Json]:
        return self._listened(document, {"authType": "bearer", "audience": AUDIENCE})

    def _listened(self, document: Json, webhook: Json) -> tuple[bytes, Json]:
        body = json.dumps(document, separators=(",", ":")).encode()
        return body, dict(Listener(webhook, self.signer).headers(body))

    def logout_token(self, document: Json) -> tuple[bytes, Json]:
        typ = document.get("jose_header", {}).get("typ")
        token = note(self.signer.sign({**document.get("claims", document), "jti": str(uuid.uuid4())}, typ=typ))
        return urlencode({"logout_token": token}).encode(), {"Content-Type": "application/x-www-form-urlencoded"}

    logout_token_tolerant = logout_token


@pytest.fixture(scope="module")
def senders(stack: Stack) -> Iterator[Senders]:
    with ExitStack() as running:
        provider = Provider(stack)
        provider.create()
        server = running.enter_context(UpstreamServer(provider.issuer))
        signer = TokenSigner(provider.issuer)
        server.pages[JWKS] = signer.jwk_set
        provider.put("", {"issuer": provider.issuer, "upstream": server.upstream})
        for client_id in ("wiki", "mail"):
            provider.register_client(running.enter_context(RelyingParty()), client_id)
        provider.put_source("bearer", format="bearer", secret=provider.secret)
        provider.put_source("signed-jwt", format="signed-jwt", audience=AUDIENCE)
        provider.put_source("keycloak", format="keycloak", secret=provider.secret, realm="customer")
        provider.put_source("keycloak-jwt", format="keycloak-jwt", audience=AUDIENCE, realm="customer")
        provider.put_source("logout-token", format="logout-token")
        provider.put_source("logout-token-tolerant", format="logout-token", tolerate_missing_exp=True)
        yield Senders(provider, signer=signer)


def test_every_sample_of_these_senders_is_in_the_table() -> None:
    patterns = ("authentik-mapping-*", "authentik-webhook-*", "*-logout-token*", "keycloak-*", "pingam-*", "standardwebhooks-*")

    assert {path.stem for pattern in patterns for path in EVENTS.glob(f"{pattern}.json")} == EFFECTS.keys()


@pytest.mark.parametrize(("name", "how"), CASES)
def test_a_sample_has_exactly_its_effect(senders: Senders, name: str, how: str) -> None:
    effect = EXCEPTIONS.get((name, how), EFFECTS[name][1])
    senders.begin()
    senders.expect(effect)

    answer = senders.send(name, how)

    if effect.code is not None:
        assert effect.code in {answer.body.get("code"), answer.body.get("error")}
        assert answer.status in {400, 401}
    elif how.startswith("logout-token"):
        assert answer.status == 200, answer
    else:
        assert answer.status == (202 if how in {"standard-webhooks", *KEYCLOAK} else 200), answer
        is_ignored = not effect.starts and effect.ends is None
        assert answer.body == {"started": int(effect.starts), "ended": int(effect.ends is not None), "ignored": int(is_ignored)}
    senders.check(effect)
