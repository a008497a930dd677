"""Which ends end sessions is the operator's choice, source by source, through the deployed stack."""

import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from backchannel.reasons import POLICIES
from local.client import Response, event
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.provider import Json, Provider
from tests.support.unspeakable import new_id, note

pytestmark = pytest.mark.senders

EVENTS = Path(__file__).resolve().parents[2] / "events"
SUB, SID, CLIENT = "aaaaaaaa-0000-4000-8000-00000000ada1", "aaaaaaaa-0000-4000-8000-000000005e55", "wiki"
KEYCLOAK = {
    "logout": "access.LOGOUT",
    "credential_changed": "access.UPDATE_PASSWORD",
    "admin_logout": "admin.USER-ACTION-logout",
    "session_revoked": "access.USER_SESSION_DELETED",
    "user_disabled": "admin.USER-UPDATE-disabled",
    "user_deleted": "admin.USER-DELETE",
    "consent_revoked": "access.REVOKE_GRANT",
    "token_revoked": "access.REVOKE_GRANT-token",
}
"""A sample for each policy that Keycloak's events go by."""


class Sender:
    """A sender with two sources: one ends sessions for one policy alone, the other for all but this one."""

    def __init__(self, provider: Provider, source_format: str, policy: str) -> None:
        self.provider, self.format = provider, source_format
        self.secret = note(secrets.token_urlsafe(32))
        self.sub, self.sid = new_id("sub"), new_id("sid")
        others = [each for each in POLICIES if each != policy]
        for source, ends_sessions in (("on", [policy]), ("off", others)):
            provider.put_source(source, format=source_format, secret=self.secret, ends_sessions=ends_sessions)

    def document(self, sample: str) -> Json:
        text = (EVENTS / f"keycloak-p2inc-{sample}.json").read_text().replace(SUB, self.sub).replace(SID, self.sid)
        return {**json.loads(text), "time": round(time.time() * 1000), "uid": str(uuid.uuid4())}

    def send(self, source: str, document: Json) -> Response:
        body = json.dumps(document).encode()
        signature = hmac.digest(self.secret.encode(), body, hashlib.sha256).hex()
        proof = {"Authorization": f"Bearer {self.secret}"} if self.format == "bearer" else {"X-Keycloak-Signature": signature}
        return self.provider.stack.request("POST", f"/webhooks/{self.provider.name}/{source}", body=body, headers=proof)

    def preview(self, source: str, document: Json) -> Json:
        return self.provider.post(f"/sources/{source}/preview", {"payload": document})


def _only_the_chosen_end_is_told(
    sender: Sender, end_of_now: Callable[[], Json], policy: str, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp, provider = relying_party(), sender.provider
    provider.register_client(rp, CLIENT)
    provider.start(CLIENT, sub=sender.sub, sid=sender.sid)

    end = end_of_now()
    shown = sender.preview("off", end)
    ignored = sender.send("off", end)
    aws.wait_until_handled(provider.name)
    told_before = len(rp.requests)
    ended = sender.send("on", end)
    aws.wait_until_handled(provider.name)

    assert (shown["events"], shown["ignored"], shown["not_chosen"]) == ([], 1, [policy])
    assert ignored.status == ended.status
    assert ignored.body == {"started": 0, "ended": 0, "ignored": 1}
    assert told_before == 0
    assert ended.body == {"started": 0, "ended": 1, "ignored": 0}
    claims = verified(provider, *rp.tokens).claims
    assert (claims["sub"], claims.get("sid")) in {(sender.sub, sender.sid), (sender.sub, None)}


@pytest.mark.parametrize(("policy", "sample"), KEYCLOAK.items())
def test_an_event_of_keycloak_ends_sessions_only_by_the_sources_choice(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, policy: str, sample: str
) -> None:
    sender = Sender(provider, "keycloak", policy)

    _only_the_chosen_end_is_told(sender, lambda: sender.document(sample), policy, relying_party, aws)


@pytest.mark.parametrize("policy", [each for each in POLICIES if each != "expired"])
def test_a_generic_end_ends_sessions_only_by_the_sources_choice(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, policy: str
) -> None:
    sender = Sender(provider, "bearer", policy)

    def end_of_now() -> Json:
        return {"id": secrets.token_hex(8), **event("user.sessions_ended", sub=sender.sub, reason=policy)}

    _only_the_chosen_end_is_told(sender, end_of_now, policy, relying_party, aws)


def test_by_default_keycloaks_refresh_tokens_end_no_session(provider: Provider) -> None:
    sender = Sender(provider, "keycloak", "logout")
    provider.put_source("default", format="keycloak", secret=sender.secret)
    token, consent = (sender.document(f"access.REVOKE_GRANT{kind}") for kind in ("-token", ""))

    assert sender.send("default", token).body == {"started": 0, "ended": 0, "ignored": 1}
    assert sender.send("default", consent).body == {"started": 0, "ended": 1, "ignored": 0}
    assert provider.get("/sources/default")["ends_sessions"] is None


def test_a_source_shows_its_policies_in_one_order_and_takes_them_back(provider: Provider) -> None:
    secret = note(secrets.token_urlsafe(32))
    provider.put_source("s", format="bearer", secret=secret, ends_sessions=["token_revoked", "logout", "logout"])

    shown = provider.get("/sources/s")

    assert shown["ends_sessions"] == ["logout", "token_revoked"]
    del shown["source"], shown["activity"]
    provider.put_source("s", **shown, secret=secret)
    assert provider.get("/sources/s")["ends_sessions"] == ["logout", "token_revoked"]


@pytest.mark.parametrize(
    "document", [{"format": "keycloak", "ends_sessions": ["login"]}, {"format": "logout-token", "ends_sessions": ["logout"]}]
)
def test_a_policy_that_would_choose_nothing_is_refused(provider: Provider, document: Json) -> None:
    secret = {} if document["format"] == "logout-token" else {"secret": note(secrets.token_urlsafe(32))}

    status, answer = provider.stack.admin("PUT", f"{provider.path}/sources/s", {**document, **secret})

    assert status == 400, answer
    assert "ends_sessions" in json.dumps(answer)
