"""Which reasons a client is told of, through the deployed stack."""

from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.provider import Provider
from tests.support.unspeakable import new_id


def test_a_client_is_told_only_of_the_reasons_that_it_wants_to_hear_of(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    told, not_told = relying_party(), relying_party()
    sub, sid = new_id("sub"), new_id("sid")
    hears_of_all = provider.register_client(told, logout_reasons=["logout", "expired"])
    hears_of_others = provider.register_client(not_told)
    for client_id in (hears_of_all, hears_of_others):
        provider.start(client_id, sub=sub, sid=sid)

    logout = provider.end_session(sid, reason="expired")
    found = provider.wait_until(logout, "accepted", "suppressed")

    assert {each["client_id"]: each["last_code"] for each in found} == {hears_of_all: "http_200", hears_of_others: "expired"}
    assert (len(told.requests), not_told.requests) == (1, [])


def test_a_reason_that_a_client_does_not_want_hides_no_later_one_that_it_does(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    sub, sid = new_id("sub"), new_id("sid")
    client_id = provider.register_client(rp)
    provider.start(client_id, sub=sub, sid=sid)
    expired = provider.end_session(sid, reason="expired")
    provider.wait_until(expired, "suppressed")

    provider.end_subject(sub, reason="logout")

    provider.wait_until(expired, "accepted")
    assert verified(provider, *rp.tokens).claims["sid"] == sid


def test_a_client_shows_its_reasons_in_one_order(provider: Provider) -> None:
    client_id = provider.register_client("https://wiki.example/logout", logout_reasons=["compromised", "logout", "logout"])

    assert provider.get(f"/clients/{client_id}")["logout_reasons"] == ["logout", "compromised"]
