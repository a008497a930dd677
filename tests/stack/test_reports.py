"""What the operator is shown: counts, ends that met nobody, later logins, what a relying party said, and of whom."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.backlog import Backlog
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id

COME_IN_AN_HOUR = Answer(503, headers={"Retry-After": "3600"})


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def shown(provider: Provider, logout: str) -> Json:
    return provider.get(f"/logouts/{logout}")


def fanned_out(provider: Provider, logout: str) -> Json:
    """Wait until the logout's fan-out is through, and return what is shown of it."""

    def look() -> Json:
        status, answer = provider.stack.admin("GET", f"{provider.path}/logouts/{logout}")
        return answer if status == 200 else {}

    return until(look, holds=lambda found: found.get("fanned_out"))


def test_a_logout_shows_how_many_it_met_and_whether_all_is_settled(provider: Provider, relying_party: MakeRelyingParty) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    for rp in (relying_party(), relying_party(COME_IN_AN_HOUR, Answer(200))):
        provider.start(provider.register_client(rp), sub=sub, sid=sid)

    logout = provider.end_session(sid)
    provider.wait_until(logout, "accepted", "retrying")
    before = fanned_out(provider, logout)
    provider.post(f"/logouts/{logout}/redeliveries", {"now": True})
    provider.wait_until(logout, "accepted", "accepted")
    after = shown(provider, logout)

    assert (before["matched"], before["counts"], before["settled"]) == (2, {"accepted": 1, "retrying": 1}, False)
    assert (after["matched"], after["counts"], after["settled"]) == (2, {"accepted": 2}, True)


@pytest.mark.parametrize("what", ["sid", "sub"])
def test_an_end_that_met_nobody_shows(provider: Provider, aws: Aws, began: float, what: str) -> None:
    mistyped = new_id(what)

    logout = provider.end_session(mistyped) if what == "sid" else provider.end_subject(mistyped)
    found = fanned_out(provider, logout)

    assert (found["matched"], found["counts"], found["settled"]) == (0, {}, True)
    lines = until(lambda: [each for each in aws.log_lines("SessionEndedLogGroup", began) if logout in each])
    assert "session.unmatched" in {json.loads(each)["message"] for each in lines}
    assert until(lambda: [each for each in aws.log_lines("SessionEndedLogGroup", began) if "LogoutsUnmatched" in each])


@pytest.mark.parametrize("through", ["webhook", "api"])
def test_a_login_50_s_after_the_end_in_the_same_sid_lives(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, through: str
) -> None:
    rp = relying_party()
    client_id, sub, sid = provider.register_client(rp), new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid, at=ago(120))
    logout = provider.end_session(sid, at=ago(60))
    provider.wait_until(logout, "accepted")

    if through == "webhook":
        taken = provider.start(client_id, sub=sub, sid=sid, at=ago(10))
    else:
        login = {"sub": sub, "sid": sid, "client_id": client_id, "started_at": ago(10).isoformat()}
        taken = provider.post("/sessions", login)
    aws.wait_until_handled(provider.name)

    assert (taken["started"], taken["ended"]) == (1, 0)
    (session,) = provider.rp_sessions(sid=sid)
    assert (session["ended_at"], len(rp.requests)) == (None, 1)
    provider.end_session(sid)
    until(lambda: len(rp.requests) == 2)


@pytest.mark.parametrize("lookup", ["sub", "sid"])
@pytest.mark.parametrize("late", [2, 4.5])
def test_no_login_is_shown_to_have_started_after_its_end(
    provider: Provider, relying_party: MakeRelyingParty, lookup: str, late: float
) -> None:
    client_id, sub, sid = provider.register_client(relying_party()), new_id("sub"), new_id("sid")
    ended_at = ago(60)
    logout = provider.end_session(sid, at=ended_at)
    fanned_out(provider, logout)

    provider.start(client_id, sub=sub, sid=sid, at=ended_at + timedelta(seconds=late))
    provider.wait_until(logout, "accepted")

    (session,) = until(
        lambda: provider.rp_sessions(**{lookup: {"sub": sub, "sid": sid}[lookup]}), holds=lambda found: found[0]["ended_at"]
    )
    assert datetime.fromisoformat(session["started_at"]) <= datetime.fromisoformat(session["ended_at"])


def test_a_plain_text_answer_of_a_relying_party_is_shown(provider: Provider, relying_party: MakeRelyingParty) -> None:
    said = b"No such\tuser." + b" Sorry." * 100
    rp = relying_party(Answer(404, said, {"Content-Type": "text/plain; charset=utf-8"}))
    sid = new_id("sid")
    provider.start(provider.register_client(rp), sub=new_id("sub"), sid=sid)

    (delivery,) = provider.wait_until(provider.end_session(sid), "rejected")

    assert delivery["error"] == said.decode().replace("\t", " ")[:200]
    assert delivery["error_description"] is None


# --- A provider's name is used again ----------------------------------------------------------------------------------


def use_the_name_again(provider: Provider, client_id: str) -> None:
    """Remove the provider, and create another one of this name, with another issuer, and a client of the same id."""
    for path in (f"/sources/{SOURCE}", f"/clients/{client_id}", ""):
        assert provider.stack.request("DELETE", provider.path + path, signed=True).status == 204
    provider.issuer += "/another"
    provider.create()
    provider.register_client("http://127.0.0.1:9/", client_id)


def test_a_name_that_is_used_again_shows_nothing_of_the_provider_before(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    client_id, sub, sid = provider.register_client(relying_party(Answer(404))), new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "rejected")

    use_the_name_again(provider, client_id)

    since = {"since": datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()}
    assert provider.stack.admin("GET", f"{provider.path}/logouts/{logout}")[0] == 404
    assert provider.stack.admin("POST", f"{provider.path}/logouts/{logout}/redeliveries", {})[0] == 404
    assert provider.get(f"/deliveries?client_id={client_id}")["deliveries"] == []
    assert provider.post(f"/clients/{client_id}/redeliveries", since) == {"queued": 0, "skipped": {}, "next": None}
    assert provider.rp_sessions(sub=sub) == []


def test_what_waits_for_the_provider_before_is_signed_by_no_other(
    stack: Stack, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    client_id, issuer = provider.register_client(rp), provider.issuer
    provider.issuer += "/before"
    waiting = Backlog(stack, provider, client_id, 1)
    provider.issuer = issuer

    waiting.queue("RetryQueue")

    (delivery,) = until(waiting.deliveries, holds=lambda found: found[0].last_code)
    assert (delivery.status, delivery.last_code, rp.requests) == ("undeliverable", "issuer_changed", [])
