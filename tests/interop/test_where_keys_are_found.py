"""The ways to our keys: a relying party reads them in the provider's own JWKS, or in the merged one of this service."""

from collections.abc import Iterator

import pytest

from tests.support.polling import until

from .browser import Browser
from .conformance import Evidence, validate_logout_token_signature
from .conftest import ExpressClient, OidcProvider, relying_party
from .recorder import Recorder, recording


@pytest.fixture(scope="module")
def merged_rp(untouched_provider: OidcProvider) -> Iterator[tuple[ExpressClient, Recorder]]:
    """Run a relying party that reads the merged discovery document."""
    provider = untouched_provider
    with (
        relying_party(provider, discovery=provider.merged_discovery_url) as rp,
        recording(f"{rp.url}/backchannel-logout") as recorder,
    ):
        provider.register_client(rp.client_id, recorder.url)
        yield rp, recorder


def test_with_the_merged_discovery_document_login_and_logout_work_at_an_untouched_provider(
    untouched_provider: OidcProvider, merged_rp: tuple[ExpressClient, Recorder]
) -> None:
    provider, (rp, recorder) = untouched_provider, merged_rp
    alice, bob = Browser(), Browser()
    id_token = alice.log_in(rp.url, "alice")
    bob.log_in(rp.url, "bob")

    alice.log_out(provider.issuer)

    until(lambda: recorder.statuses == [204], seconds=30)
    assert not alice.is_logged_in(rp.url)
    assert bob.is_logged_in(rp.url)
    assert id_token["kid"] in provider.own_kids()
    ours = [key for key in provider.service_keys() if key["kid"] == provider.signing_kid()]
    validate_logout_token_signature(Evidence(recorder.bodies[0], provider.issuer, rp.client_id, id_token, {"keys": ours}))


@pytest.mark.usefixtures("merged_rp")
def test_an_untouched_provider_publishes_none_of_our_keys_and_the_merged_jwks_all(untouched_provider: OidcProvider) -> None:
    ours, own = untouched_provider.signing_kid(), untouched_provider.own_kids()

    merged = {key["kid"] for key in untouched_provider.service_keys()}

    assert own
    assert ours not in own
    assert merged == own | {ours}


def test_a_relying_party_that_reads_an_untouched_providers_own_jwks_refuses_our_token(untouched_provider: OidcProvider) -> None:
    with relying_party(untouched_provider) as rp, recording(f"{rp.url}/backchannel-logout") as recorder:
        untouched_provider.register_client(rp.client_id, recorder.url)
        browser = Browser()
        browser.log_in(rp.url, "carol")

        browser.log_out(untouched_provider.issuer)

        until(lambda: recorder.statuses == [400], seconds=30)
        assert browser.is_logged_in(rp.url)
        assert untouched_provider.finds_service_key(rp.client_id) is False


def test_the_check_of_trust_says_who_finds_our_key_in_the_providers_own_jwks(
    provider: OidcProvider,
    first_rp: ExpressClient,
    untouched_provider: OidcProvider,
    merged_rp: tuple[ExpressClient, Recorder],
) -> None:
    assert provider.finds_service_key(first_rp.client_id) is True
    assert untouched_provider.finds_service_key(merged_rp[0].client_id) is False
