"""Sessions that end by themselves, and what the operator sees of sessions."""

from datetime import UTC, datetime, timedelta

import pytest

from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.provider import Json, Provider
from tests.support.unspeakable import new_id


def make_expiry_pass(aws: Aws, stack: Stack) -> None:
    answer = aws.client("lambda").invoke(FunctionName=stack.functions["SessionExpiryFunction"], Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.mark.parametrize("known_by", ["lifetime", "expires_at"])
def test_an_expired_session_is_told_once_to_the_client_that_wants_to_hear_of_it(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, stack: Stack, known_by: str
) -> None:
    told, not_told = relying_party(), relying_party()
    wants = provider.register_client(told, logout_reasons=["expired"])
    does_not = provider.register_client(not_told)
    sub, sid = new_id("sub"), new_id("sid")
    data: Json = {}
    if known_by == "lifetime":
        provider.put("", {"issuer": provider.issuer, "session_lifetime": 60})
    else:
        data["expires_at"] = ago(1).isoformat()
    for client_id in (wants, does_not):
        provider.start(client_id, sub=sub, sid=sid, at=ago(120), **data)
    running = new_id("sid")
    provider.start(wants, sub=sub, sid=running)

    for _ in range(2):
        make_expiry_pass(aws, stack)
        aws.wait_until_handled(provider.name)

    claims = verified(provider, *told.tokens).claims
    assert claims["sid"] == sid
    assert "sub" not in claims  # for some RPs it would end the session that is running
    assert not_told.requests == []
    sessions = {(each["client_id"], each["sid"]): each for each in provider.rp_sessions(sub=sub)}
    logout = sessions[wants, sid]["logout_id"]
    assert provider.get(f"/logouts/{logout}")["reason"] == "expired"
    assert [each["status"] for each in provider.deliveries(logout)] == ["accepted"]
    assert [sessions[key]["logout_id"] for key in ((does_not, sid), (wants, running))] == [None, None]


def test_a_newer_login_in_an_expired_session_is_kept(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, stack: Stack
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, logout_reasons=["expired"])
    sub, sid = new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid, at=ago(120), expires_at=ago(60).isoformat())
    provider.start(client_id, sub=sub, sid=sid, expires_at=ago(-3600).isoformat())

    make_expiry_pass(aws, stack)
    aws.wait_until_handled(provider.name)

    assert rp.requests == []


def test_the_operator_sees_active_and_ended_sessions_of_a_subject_with_their_logouts(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    client_id, other_client = (provider.register_client(relying_party()) for _ in range(2))
    sub = new_id("sub")
    ended, left, active = (new_id("sid") for _ in range(3))
    for sid in (ended, left, active):
        for each in (client_id, other_client):
            provider.start(each, sub=sub, sid=sid)

    by_session = provider.end_session(ended)
    by_client = provider.end_session(left, client_id=other_client)
    aws.wait_until_handled(provider.name)

    seen = {(each["client_id"], each["sid"]): each for each in provider.rp_sessions(sub=sub)}
    assert {key: each["logout_id"] for key, each in seen.items()} == {
        (client_id, ended): by_session,
        (other_client, ended): by_session,
        (client_id, left): None,
        (other_client, left): by_client,
        (client_id, active): None,
        (other_client, active): None,
    }
    assert all((each["ended_at"] is None) == (each["logout_id"] is None) for each in seen.values())
    for sid in (ended, left, active):
        assert sorted(map(str, provider.rp_sessions(sid=sid))) == sorted(
            str(each) for each in seen.values() if each["sid"] == sid
        )
