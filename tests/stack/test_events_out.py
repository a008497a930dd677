"""The operator's event bus hears what happened, through a rule as an operator would make it."""

import time
from collections.abc import Iterator

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.event_rule import Event, Heard, event_rule
from tests.support.mass_logouts import MassLogoutRun
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id


@pytest.fixture
def heard(aws: Aws, provider: Provider) -> Iterator[Heard]:
    with event_rule(aws, provider.name) as heard:
        yield heard


def of_kind(found: list[Event], kind: str) -> list[dict[str, object]]:
    """Return the details of a kind, each once."""
    return list({each.detail["id"]: each.detail for each in found if each.kind == kind}.values())


def test_a_logout_that_one_relying_party_refuses_is_a_failed_delivery_and_a_settled_logout(
    heard: Heard, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    refusing = provider.register_client(relying_party(Answer(403)))
    for client_id in (refusing, provider.register_client(relying_party())):
        provider.start(client_id, sub=sub, sid=sid)

    logout = provider.end_session(sid, reason="session_revoked")
    found = heard.wait_until("delivery.failed", "logout.settled")

    (failed,), (settled,) = of_kind(found, "delivery.failed"), of_kind(found, "logout.settled")
    assert (failed["client_id"], failed["status"], failed["code"], failed["attempts"]) == (refusing, "rejected", "http_403", 1)
    assert failed["logout_id"] == settled["logout_id"] == logout
    assert failed["reason"] == settled["reason"] == "session_revoked"
    assert (settled["matched"], settled["counts"]) == (2, {"accepted": 1, "rejected": 1})
    assert not [each for each in found if sub in str(each) or sid in str(each)]


def test_a_logout_that_is_sent_again_settles_again(heard: Heard, provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp, sid = relying_party(Answer(403), Answer()), new_id("sid")
    provider.start(provider.register_client(rp), sub=new_id("sub"), sid=sid)
    logout = provider.end_session(sid)
    heard.wait_until("delivery.failed", "logout.settled")

    assert provider.redeliver(logout) == 1
    found = heard.wait_for(lambda found: len(of_kind(found, "logout.settled")) == 2)

    assert [each["counts"] for each in of_kind(found, "logout.settled")] == [{"rejected": 1}, {"accepted": 1}]
    assert len(of_kind(found, "delivery.failed")) == 1


def test_an_end_that_met_nobody_is_a_settled_logout(heard: Heard, provider: Provider) -> None:
    logout = provider.end_session(new_id("sid"))

    (settled,) = of_kind(heard.wait_until("logout.settled"), "logout.settled")

    assert (settled["logout_id"], settled["matched"], settled["counts"]) == (logout, 0, {})


def test_whom_no_token_can_name_is_a_failed_delivery(heard: Heard, provider: Provider) -> None:
    sub = new_id("sub")
    client_id = provider.register_client("https://rp.example/logout", backchannel_logout_session_required=True)
    provider.start(client_id, sub=sub)

    provider.end_subject(sub)
    found = heard.wait_until("delivery.failed", "logout.settled")

    (failed,), (settled,) = of_kind(found, "delivery.failed"), of_kind(found, "logout.settled")
    assert (failed["status"], failed["attempts"], failed["code"], failed["sid_hash"]) == ("unaddressable", 0, None, None)
    assert settled["counts"] == {"unaddressable": 1}


def test_a_mass_logout_that_is_over_is_heard_of(heard: Heard, provider: Provider, relying_party: MakeRelyingParty) -> None:
    client_id = provider.register_client(relying_party())
    for _ in range(2):
        provider.start(client_id, sub=new_id("sub"), sid=new_id("sid"))

    mass = MassLogoutRun(provider)
    (finished,) = of_kind(heard.wait_until("mass_logout.finished", seconds=60), "mass_logout.finished")

    assert (finished["mass_logout_id"], finished["status"]) == (mass.id, "finished")
    assert (finished["subjects"], finished["counts"]) == (2, {"accepted": 2})


@pytest.mark.alone
def test_what_the_bus_does_not_take_comes_once_it_does(aws: Aws, heard: Heard, provider: Provider) -> None:
    began = time.time()
    with aws.without("EventsOutRole", "events:PutEvents"):
        logout = provider.end_session(new_id("sid"))
        until(lambda: [each for each in aws.log_lines("EventsOutLogGroup", began) if "events_out.postponed" in each])
        (waiting,) = until(lambda: [each for each in aws.messages("EventsOutQueue", logout) if each["ReceiveCount"] > 0])

    found = heard.wait_until("logout.settled", seconds=40)

    assert waiting["ReceiveCount"] >= 1
    assert [each["logout_id"] for each in of_kind(found, "logout.settled")] == [logout]


def test_a_key_that_begins_to_sign_is_heard_of(heard: Heard, provider: Provider) -> None:
    provider.register_client("https://rp.example/logout", id_token_signed_response_alg="ES256")
    (first,) = provider.ring(alg="ES256")
    provider.post("/keys/rotation", {"kid": first["kid"], "emergency": True})

    found = heard.wait_for(lambda found: len(of_kind(found, "key.rotated")) >= 2)

    (now,) = provider.ring(alg="ES256", state="signing")
    assert [each["kid"] for each in of_kind(found, "key.rotated") if each["alg"] == "ES256"] == [first["kid"], now["kid"]]
