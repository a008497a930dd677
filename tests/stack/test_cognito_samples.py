"""Each sample of a user pool has exactly its effect through the deployed stack, and a pool's user is logged out at an RP."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import RelyingParty
from tests.support.samples import IGNORED, STARTED, Effect
from tests.support.snippets import blocks, exchanges
from tests.support.unspeakable import new_id
from tests.support.user_pool import SOURCE, UserPool, issuer_of
from tests.unit.fakes import EVENTS

pytestmark = pytest.mark.senders

CALLS = {
    "AdminDeleteUser": Effect("user", "user_deleted"),
    "AdminDisableUser": Effect("user", "user_disabled"),
    "AdminSetUserPassword": Effect("user", "credential_changed"),
    "AdminUserGlobalSignOut": Effect("user", "admin_logout"),
    "AdminUserGlobalSignOut-empty-errorCode": Effect("user", "admin_logout"),
    "ChangePassword": Effect("user", "credential_changed"),
    "GlobalSignOut": Effect("user", "logout"),
    "Logout": IGNORED,
    "RevokeToken": IGNORED,  # token_revoked is off by default
    "Token_POST": IGNORED,
}
SIGN_INS = {
    "PostAuthentication": IGNORED,
    "PreTokenGeneration-refresh": IGNORED,
    "PreTokenGeneration-v1": STARTED,
    "PreTokenGeneration-v2": STARTED,
}


def test_every_sample_is_here() -> None:
    names = {path.stem for path in EVENTS.glob("cognito-*.json")} - {"cognito-idtoken-claims"}

    assert names == {f"cognito-eventbridge-{name}" for name in CALLS} | {f"cognito-lambda-{name}" for name in SIGN_INS}


def _pool(stack: Stack, aws: Aws) -> UserPool:
    provider = Provider(stack)
    provider.issuer = issuer_of(f"eu-central-1_{secrets.token_hex(5)}")
    provider.create()
    provider.put_source(SOURCE, format="cognito")
    return UserPool(provider, aws=aws)


@pytest.fixture(scope="module")
def pool(stack: Stack, aws: Aws) -> Iterator[UserPool]:
    with ExitStack() as running:
        made = _pool(stack, aws)
        for client_id in ("wiki", "mail"):
            made.provider.register_client(running.enter_context(RelyingParty()), client_id)
        yield made


@pytest.fixture
def own_pool(stack: Stack, aws: Aws) -> UserPool:
    """Return a pool that no other test uses."""
    return _pool(stack, aws)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_its_effect(pool: UserPool, aws: Aws, name: str) -> None:
    pool.begin()

    aws.send("SourceEventsQueue", pool.message(pool.of_now(f"cognito-eventbridge-{name}")))
    pool.wait_until_taken()

    pool.check(CALLS[name])


@pytest.mark.parametrize("name", SIGN_INS)
def test_a_trigger_has_its_effect_and_is_returned_as_it_is(pool: UserPool, name: str) -> None:
    effect = SIGN_INS[name]
    pool.begin()
    pool.expect(effect)
    event = pool.of_now(f"cognito-lambda-{name}")

    answer = pool.sign_in(event)

    assert json.dumps(answer) == json.dumps(event)
    if effect.starts:
        until(lambda: pool.provider.rp_sessions(sub=pool.sub))
    pool.wait_until_taken()
    pool.check(effect, has_sid=False)


def test_a_source_says_whether_a_revoked_token_ends_its_clients_sessions(own_pool: UserPool, aws: Aws) -> None:
    own_pool.provider.put_source(SOURCE, format="cognito", ends_sessions=["token_revoked"])
    with RelyingParty() as rp:
        for client_id in ("wiki", "mail"):
            own_pool.provider.register_client(rp, client_id)
        own_pool.begin()
        aws.send("SourceEventsQueue", own_pool.message(own_pool.of_now("cognito-eventbridge-RevokeToken")))
        own_pool.wait_until_taken()

        own_pool.check(Effect("user at wiki", "logout"))


def test_what_was_sent_is_counted(own_pool: UserPool, aws: Aws) -> None:
    own_pool.begin()
    for name in ("GlobalSignOut", "RevokeToken", "Token_POST", "Logout"):
        aws.send("SourceEventsQueue", own_pool.message(own_pool.of_now(f"cognito-eventbridge-{name}")))
    own_pool.sign_in(own_pool.of_now("cognito-lambda-PreTokenGeneration-v1"))

    wanted = {"started": 1, "ended": 1, "ignored": 2, "unmappable": 1}
    until(own_pool.counts, holds=lambda counts: {name: counts.get(name) for name in wanted} == wanted)


def test_nobody_sends_a_pools_events_over_http(pool: UserPool) -> None:
    pool.begin()
    body = json.dumps(pool.of_now("cognito-eventbridge-GlobalSignOut")).encode()

    answer = pool.provider.stack.request("POST", f"/webhooks/{pool.provider.name}/{SOURCE}", body=body)

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")
    assert pool.ended() == set()


def test_a_preview_shows_what_a_call_and_a_sign_in_would_cause(pool: UserPool) -> None:
    pool.begin()
    call, sign_in = (pool.of_now(f"cognito-{name}") for name in ("eventbridge-GlobalSignOut", "lambda-PreTokenGeneration-v2"))

    shown = [pool.provider.post(f"/sources/{SOURCE}/preview", {"payload": each})["events"] for each in (call, sign_in)]

    assert [[each["kind"] for each in events] for events in shown] == [["subject_sessions_ended"], ["rp_session_started"]]
    assert pool.ended() == set()


@pytest.mark.parametrize("settings", [{"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, {"sid_trust": "none"}])
def test_a_source_of_a_pool_has_neither_a_secret_nor_session_ids(pool: UserPool, settings: dict[str, str]) -> None:
    document = {"format": "cognito", **settings}

    status, answer = pool.provider.stack.admin("PUT", f"{pool.provider.path}/sources/other", document)

    assert (status, answer["code"]) == (400, "registration_invalid")


DOCUMENT = (EVENTS.parent / "docs" / "providers" / "cognito.md").read_text()


def test_the_documented_requests_and_messages_do_what_they_say(own_pool: UserPool, aws: Aws) -> None:
    def here(text: str) -> str:
        return text.replace("eu-central-1_AbCdEfGhI", own_pool.id)

    for exchange in exchanges(DOCUMENT):
        path = own_pool.provider.path + exchange.path.removeprefix("/providers/pool")
        status, answer = own_pool.provider.stack.admin(exchange.method, path, json.loads(here(exchange.body)))
        assert status == 200, (exchange.path, answer)
        if exchange.path.endswith("/preview") and exchange.answer is not None:
            (event,) = json.loads(exchange.answer)["events"]
            assert event.items() <= answer["events"][0].items()
    (message,) = [content for _, content in blocks(DOCUMENT, "json") if "receivedAt" in content]
    aws.send("SourceEventsQueue", here(message))

    (session,) = until(lambda: own_pool.provider.rp_sessions(sub="c0600000-0000-4000-8000-00000000ada1"))
    assert session["client_id"] == "1example23456789abcdefghij"


def test_who_signed_in_at_a_pool_is_logged_out_at_the_rp(own_pool: UserPool, aws: Aws, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    own_pool.provider.register_client(rp, "wiki")
    own_pool.sub, own_pool.event_id = new_id("sub"), new_id("evt")

    own_pool.sign_in(own_pool.of_now("cognito-lambda-PreTokenGeneration-v1"))
    until(lambda: own_pool.provider.rp_sessions(sub=own_pool.sub))
    aws.send("SourceEventsQueue", own_pool.message(own_pool.of_now("cognito-eventbridge-GlobalSignOut")))

    (token,) = until(lambda: rp.tokens)
    claims = verified(own_pool.provider, token).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == (own_pool.provider.issuer, own_pool.sub, "wiki")
    assert "sid" not in claims
