"""Users of a real provider are logged out at real relying parties, by tokens that the conformance suite would pass."""

from collections.abc import Callable

import pytest

from tests.support.polling import until

from .browser import Browser
from .conformance import JWKS_CHECKS, LOGOUT_REQUEST_CHECKS, Evidence, Json
from .conftest import ExpressClient, OidcProvider
from .recorder import Recorder


@pytest.fixture(scope="session")
def evidence(provider: OidcProvider, recorded_rp: tuple[ExpressClient, Recorder]) -> Evidence:
    """Return what the relying party was sent after a login there and a logout at the provider."""
    rp, recorder = recorded_rp
    browser = Browser()
    id_token = browser.log_in(rp.url, "recorded")

    browser.log_out(provider.issuer)

    until(lambda: recorder.bodies, seconds=30)
    return Evidence(recorder.bodies[0], provider.issuer, rp.client_id, id_token, {"keys": provider.service_keys()})


def test_a_logout_at_the_provider_ends_the_users_session_at_every_relying_party(
    provider: OidcProvider, first_rp: ExpressClient, second_rp: ExpressClient
) -> None:
    alice, bob = Browser(), Browser()
    alice_at_first = alice.log_in(first_rp.url, "alice")
    alice_at_second = alice.log_in(second_rp.url, "alice")
    bob.log_in(first_rp.url, "bob")

    alice.log_out(provider.issuer)

    until(lambda: not alice.is_logged_in(first_rp.url), seconds=30)
    until(lambda: not alice.is_logged_in(second_rp.url), seconds=30)
    assert bob.is_logged_in(first_rp.url)
    until(lambda: provider.accepted_by(first_rp.client_id).count(alice_at_first["sid"]) == 1, seconds=30)
    until(lambda: provider.accepted_by(second_rp.client_id).count(alice_at_second["sid"]) == 1, seconds=30)


def test_a_subjects_logout_ends_each_of_its_sessions_and_nobody_elses(provider: OidcProvider, first_rp: ExpressClient) -> None:
    laptop, phone, other = Browser(), Browser(), Browser()
    sids = {browser.log_in(first_rp.url, "carol")["sid"] for browser in (laptop, phone)}
    other.log_in(first_rp.url, "dave")

    logout_id = provider.log_out_everywhere("carol")

    until(lambda: not laptop.is_logged_in(first_rp.url), seconds=30)
    until(lambda: not phone.is_logged_in(first_rp.url), seconds=30)
    assert other.is_logged_in(first_rp.url)
    expected = {(first_rp.client_id, sid) for sid in sids}
    until(lambda: provider.accepted_in_logout(logout_id) == expected, seconds=30)


def test_a_user_who_logs_in_again_stays_logged_in(provider: OidcProvider, first_rp: ExpressClient) -> None:
    browser = Browser()
    ended = browser.log_in(first_rp.url, "erin")
    browser.log_out(provider.issuer)
    until(lambda: ended["sid"] in provider.accepted_by(first_rp.client_id), seconds=30)

    begun = browser.log_in(first_rp.url, "erin")

    assert begun["sid"] != ended["sid"]
    assert browser.is_logged_in(first_rp.url)


def test_a_relying_party_is_sent_one_request_by_the_service_and_none_by_the_provider(
    provider: OidcProvider, recorded_rp: tuple[ExpressClient, Recorder], evidence: Evidence
) -> None:
    rp, recorder = recorded_rp

    until(lambda: provider.accepted_by(rp.client_id) == [evidence.id_token["sid"]], seconds=30)
    assert recorder.bodies == [evidence.body]


@pytest.mark.parametrize("check", LOGOUT_REQUEST_CHECKS.values(), ids=LOGOUT_REQUEST_CHECKS)
def test_the_logout_request_passes_the_conformance_suites_check(check: Callable[[Evidence], None], evidence: Evidence) -> None:
    check(evidence)


@pytest.mark.parametrize("check", JWKS_CHECKS.values(), ids=JWKS_CHECKS)
def test_the_published_keys_pass_the_conformance_suites_check(check: Callable[[Json], None], evidence: Evidence) -> None:
    check(evidence.jwks)
