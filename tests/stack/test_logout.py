"""A session ends at the provider, and its relying parties are told: who gets which token."""

import secrets
import time
import uuid

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import EVENT, verified
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.unspeakable import new_id


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_the_end_of_a_session_brings_its_relying_party_one_verifiable_logout_token(
    provider: Provider, relying_party: MakeRelyingParty, alg: str
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp.uri("/logout?tenant=a%20b&x"), id_token_signed_response_alg=alg)
    sub, sid = new_id("sub"), new_id("sid")

    assert provider.start(client_id, sub=sub, sid=sid) == {"started": 1, "ended": 0, "ignored": 0}
    before = time.time()
    logout = provider.end_session(sid)
    (delivery,) = provider.wait_until(logout, "accepted")

    (request,) = rp.requests
    assert request.path == "/logout?tenant=a%20b&x"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body == b"logout_token=" + request.token.encode()
    token = verified(provider, request.token, alg)
    assert token.header == {"alg": alg, "typ": "logout+jwt", "kid": token.header["kid"]}
    uuid.UUID(token.claims.pop("jti"))
    iat = token.claims.pop("iat")
    assert before - 3 <= iat <= request.at - 1
    assert token.claims == {
        "iss": provider.issuer,
        "aud": client_id,
        "exp": iat + 120,
        "events": {EVENT: {}},
        "sub": sub,
        "sid": sid,
    }
    assert (delivery["client_id"], delivery["sid"]) == (client_id, sid)
    assert (delivery["attempts"], delivery["last_code"], delivery["last_status_code"]) == (1, "http_200", 200)
    assert delivery["next_attempt_at"] is None
    (session,) = provider.rp_sessions(sid=sid)
    assert session["logout_id"] == logout


def test_a_client_s_profile_shapes_its_token(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, subject="sub_only", typ=None, exp=30)
    sid = new_id("sid")
    provider.start(client_id, sub=new_id("sub"), sid=sid, client_sub="pairwise-sub")

    logout = provider.end_session(sid)
    provider.wait_until(logout, "accepted")

    token = verified(provider, *rp.tokens)
    assert token.header.keys() == {"alg", "kid"}
    assert token.claims["sub"] == "pairwise-sub"
    assert "sid" not in token.claims
    assert token.claims["exp"] - token.claims["iat"] == 30


def test_ten_relying_parties_of_a_session_get_one_token_each(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rps = {provider.register_client(rp): rp for rp in (relying_party() for _ in range(10))}
    sub, sid, other_sid = new_id("sub"), new_id("sid"), new_id("sid")
    for client_id in rps:
        provider.start(client_id, sub=sub, sid=sid)
        provider.start(client_id, sub=sub, sid=other_sid)

    logout = provider.end_session(sid)
    provider.wait_until(logout, *["accepted"] * 10)

    tokens = {client_id: verified(provider, *rp.tokens).claims for client_id, rp in rps.items()}
    assert {client_id: claims["aud"] for client_id, claims in tokens.items()} == {client_id: client_id for client_id in rps}
    assert {claims["sid"] for claims in tokens.values()} == {sid}
    assert len({claims["jti"] for claims in tokens.values()}) == 10
    assert provider.get(f"/logouts/{logout}")["fanned_out"] is True


def test_the_end_of_a_subject_s_sessions_brings_one_token_with_sub_alone(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp, other_rp = relying_party(), relying_party()
    client_id, other_client = provider.register_client(rp), provider.register_client(other_rp)
    sub = new_id("sub")
    for sid in (new_id("sid"), new_id("sid"), None):
        provider.start(client_id, sub=sub, sid=sid)
    provider.start(other_client, sub=new_id("sub"), sid=new_id("sid"))

    logout = provider.end_subject(sub)
    (delivery,) = provider.wait_until(logout, "accepted")
    aws.wait_until_handled(provider.name)

    claims = verified(provider, *rp.tokens).claims
    assert claims["sub"] == sub
    assert "sid" not in claims
    assert delivery["sid"] is None
    assert other_rp.requests == []
    assert {session["logout_id"] for session in provider.rp_sessions(sub=sub)} == {logout}


def test_a_client_that_requires_sid_gets_one_token_for_each_session_of_the_subject(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, backchannel_logout_session_required=True)
    sub, sids = new_id("sub"), {new_id("sid") for _ in range(3)}
    for sid in sids:
        provider.start(client_id, sub=sub, sid=sid)

    logout = provider.end_subject(sub)
    provider.wait_until(logout, "accepted", "accepted", "accepted")

    assert {verified(provider, token).claims["sid"] for token in rp.tokens} == sids


def test_a_client_that_requires_sid_is_unaddressable_where_none_is_known(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, backchannel_logout_session_required=True)
    sub = new_id("sub")
    provider.start(client_id, sub=sub)

    logout = provider.end_subject(sub)
    provider.wait_until(logout, "unaddressable")
    aws.wait_until_handled(provider.name)

    assert rp.requests == []


@pytest.mark.parametrize("whose", ["session", "subject"])
def test_an_end_at_one_client_leaves_the_others_alone(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, whose: str
) -> None:
    left, kept = relying_party(), relying_party()
    client_id, kept_client = provider.register_client(left), provider.register_client(kept)
    sub, sid = new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid)
    provider.start(kept_client, sub=sub, sid=sid)

    if whose == "session":
        logout = provider.end_session(sid, client_id=client_id)
    else:
        logout = provider.end_subject(sub, client_id=client_id)
    provider.wait_until(logout, "accepted")
    aws.wait_until_handled(provider.name)

    assert len(left.requests) == 1
    assert kept.requests == []
    assert {session["client_id"]: session["logout_id"] for session in provider.rp_sessions(sid=sid)} == {
        client_id: logout,
        kept_client: None,
    }


def test_a_logout_asked_for_by_the_operator_is_carried_out(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sub, sid = new_id("sub"), new_id("sid")
    provider.post("/sessions", {"sub": sub, "sid": sid, "client_id": client_id})

    logout = provider.post("/logouts", {"sid": sid, "reason": "stolen"})["logout_id"]
    provider.wait_until(logout, "accepted")

    assert verified(provider, *rp.tokens).claims["sid"] == sid
    shown = provider.get(f"/logouts/{logout}")
    assert (shown["reason"], shown["note"]) == ("admin_logout", "stolen")


def test_the_end_of_a_session_without_relying_parties_is_a_complete_logout(provider: Provider, aws: Aws) -> None:
    logout = provider.end_session(new_id("sid"))

    aws.wait_until_handled(provider.name)

    assert provider.get(f"/logouts/{logout}")["fanned_out"] is True
    assert provider.deliveries(logout) == []


def test_characters_that_separate_keys_do_not_mix_sessions_up(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp, other_rp = relying_party(), relying_party()
    unique = secrets.token_hex(4)
    client_id, other_client = provider.register_client(rp), provider.register_client(other_rp)
    sid, other_sid = f"{unique}#RP#{client_id}", unique
    provider.start(client_id, sub=f"zoë#{unique}", sid=sid)
    provider.start(other_client, sub=f"zoë#{unique}", sid=other_sid)

    logout = provider.end_session(sid)
    provider.wait_until(logout, "accepted")
    aws.wait_until_handled(provider.name)

    claims = verified(provider, *rp.tokens).claims
    assert (claims["sub"], claims["sid"]) == (f"zoë#{unique}", sid)
    assert other_rp.requests == []
