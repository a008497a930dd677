"""Events come twice, late and out of order: nobody stays logged in, and nobody is told twice or logged out too much."""

import json
import secrets
import time
from datetime import UTC, datetime, timedelta

from backchannel.sessions.events import SessionEnded, logout_id
from backchannel.sessions.messages import EndMessage
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def test_a_repeated_event_sends_nothing_new(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sub, sid = new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid)
    logout = provider.end_session(sid, event_id="first")
    provider.wait_until(logout, "accepted")

    repeated = [provider.end_session(sid, event_id="first"), provider.end_session(sid, event_id="second")]
    aws.wait_until_handled(provider.name)

    assert repeated == [logout, logout]
    assert len(rp.requests) == 1
    assert [each["attempts"] for each in provider.deliveries(logout)] == [1]


def test_a_repeated_end_of_a_subject_sends_nothing_new(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sub = new_id("sub")
    provider.start(client_id, sub=sub, sid=new_id("sid"))
    at, event_id = datetime.now(UTC), secrets.token_hex(4)
    logout = provider.end_subject(sub, at=at, event_id=event_id)
    provider.wait_until(logout, "accepted")

    repeated = provider.end_subject(sub, at=at, event_id=event_id)
    aws.wait_until_handled(provider.name)

    assert repeated == logout
    assert len(rp.requests) == 1


def test_the_ends_of_a_session_and_its_subject_at_once_bring_each_rp_one_token(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rps = [relying_party() for _ in range(3)]
    sub, sid = new_id("sub"), new_id("sid")
    for rp in rps:
        provider.start(provider.register_client(rp), sub=sub, sid=sid)

    by_session, by_subject = provider.end_session(sid), provider.end_subject(sub)
    aws.wait_until_handled(provider.name)

    assert [len(rp.requests) for rp in rps] == [1, 1, 1]
    found = provider.deliveries(by_session) + provider.deliveries(by_subject)
    assert [each["status"] for each in found] == ["accepted"] * 3


def test_a_start_that_comes_after_the_end_of_its_session_is_logged_out(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    in_time, late = relying_party(), relying_party()
    client_id, late_client = provider.register_client(in_time), provider.register_client(late)
    sub, sid = new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "accepted")

    counts = provider.start(late_client, sub=sub, sid=sid, at=ago(5))
    provider.wait_until(logout, "accepted", "accepted")

    assert counts == {"started": 1, "ended": 1, "ignored": 0}
    assert verified(provider, *late.tokens).claims["sid"] == sid
    assert len(in_time.requests) == 1


def test_a_start_that_comes_after_the_end_of_its_subject_s_sessions_is_logged_out(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sub = new_id("sub")
    provider.end_subject(sub)
    aws.wait_until_handled(provider.name)

    counts = provider.start(client_id, sub=sub, sid=new_id("sid"), at=ago(60))
    aws.wait_until_handled(provider.name)

    assert counts["ended"] == 1
    assert verified(provider, *rp.tokens).claims["sub"] == sub


def test_a_login_that_is_newer_than_the_end_of_the_subject_s_sessions_is_kept(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sub, before, after = new_id("sub"), new_id("sid"), new_id("sid")
    provider.start(client_id, sub=sub, sid=before)

    logout = provider.end_subject(sub, at=ago(60))
    counts = provider.start(client_id, sub=sub, sid=after)
    aws.wait_until_handled(provider.name)

    assert counts["ended"] == 0
    assert rp.requests == []
    assert provider.deliveries(logout) == []
    assert [session["logout_id"] for session in provider.rp_sessions(sub=sub)] == [None, None]


def test_a_token_for_the_subject_that_would_end_a_newer_login_is_replaced_by_sid(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp = relying_party(Answer(404), Answer(200))
    client_id = provider.register_client(rp)
    sub, old, new = new_id("sub"), new_id("sid"), new_id("sid")
    provider.start(client_id, sub=sub, sid=old)
    logout = provider.end_subject(sub)
    provider.wait_until(logout, "rejected")

    provider.start(client_id, sub=sub, sid=new)
    provider.redeliver(logout)
    provider.wait_until(logout, "superseded", "accepted")
    aws.wait_until_handled(provider.name)

    for_subject, for_session = (verified(provider, token).claims for token in rp.tokens)
    assert "sid" not in for_subject
    assert for_session["sid"] == old


def test_a_new_login_in_the_same_session_can_be_ended_at_its_client_again(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sub, sid = new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid)
    first = provider.end_session(sid, client_id=client_id)
    provider.wait_until(first, "accepted")

    provider.start(client_id, sub=sub, sid=sid)
    second = provider.end_session(sid, client_id=client_id)
    provider.wait_until(second, "accepted")

    assert first != second
    assert len(rp.requests) == 2


def test_the_sweep_finds_an_rp_session_whose_writer_died_before_it_looked(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, stack: Stack
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sub, sid = new_id("sub"), new_id("sid")
    logout = provider.end_session(sid)
    aws.wait_until_handled(provider.name)
    keys = {"pk": {"S": f"SID#{provider.issuer}#{sid}"}, "sk": {"S": f"RP#{client_id}"}}
    members = {"client_id": {"S": client_id}, "sub": {"S": sub}, "sid": {"S": sid}}
    times = {"started_at": {"N": str(int(time.time() * 1000))}, "expires_at": {"N": str(int(time.time()) + 3600)}}
    aws.client("dynamodb").put_item(TableName=stack.tables["SessionsTable"], Item={**keys, **members, **times})

    event = SessionEnded(sid, int(time.time() * 1000), "end")
    sweep = EndMessage.of(event, provider=provider.name, logout_id=logout, fanout_id="run:sweep", sweep=True)
    aws.send("SessionEndedQueue", sweep.to_json())
    provider.wait_until(logout, "accepted")

    assert logout == logout_id(provider.issuer, event)
    assert verified(provider, *rp.tokens).claims["sid"] == sid


def test_every_fan_out_is_followed_by_a_sweep(provider: Provider, aws: Aws) -> None:
    sid = new_id("sid")
    logout = provider.end_session(sid)

    aws.wait_until_handled(provider.name)

    (waiting,) = (json.loads(each["Body"]) for each in aws.messages("SessionEndedQueue", provider.name))
    assert (waiting["logout_id"], waiting["sweep"]) == (logout, True)
