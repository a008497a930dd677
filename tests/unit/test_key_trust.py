"""What relying parties find in the JWKS that the provider publishes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from backchannel.errors import DocumentUnavailable
from backchannel.providers.key_trust import ProvidersKeys, read_as_a_relying_party_does
from backchannel.providers.table import Provider
from backchannel.tokens.documents import Accept, Document
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.locations import Location, Upstream
from tests.support.signing import ring

OURS, OTHER = (next(key for key in ring() if key.alg == alg) for alg in ("RS256", "RS384"))
ISSUER = "https://op.example/realms/main"
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://op.example/auth",
    "token_endpoint": "https://op.example/token",
    "jwks_uri": "https://op.example/keys",
    "response_types_supported": ["code"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
}
WELL_KNOWN = f"{ISSUER}/.well-known/openid-configuration"


def published(*keys: Mapping[str, Any]) -> ProvidersKeys:
    return ProvidersKeys(None, "https://op.example/keys", keys, None)


class Web:
    """What is published where."""

    def __init__(self, pages: Mapping[str, Any]) -> None:
        self.pages = pages
        self.asked: list[Location] = []

    def read(self, location: Location, accept: Accept) -> Document:
        self.asked.append(location)
        if location.uri not in self.pages:
            raise DocumentUnavailable("http_404")
        accept(self.pages[location.uri])
        return Document(self.pages[location.uri], 0)


@pytest.mark.parametrize(
    ("theirs", "is_found"),
    [
        ({**OURS.jwk, "kid": OURS.kid}, True),
        ({**OURS.jwk, "kid": OURS.kid, "alg": "RS256", "use": "sig", "x5c": []}, True),
        ({**OURS.jwk, "kid": "another"}, False),
        (dict(OURS.jwk), False),
        ({**OTHER.jwk, "kid": OURS.kid}, False),
        ({**OURS.jwk, "kid": OURS.kid, "use": "enc"}, False),
        ({**OURS.jwk, "kid": OURS.kid, "alg": "RS512"}, False),
    ],
    ids=["same", "with more members", "another kid", "no kid", "another key", "for encryption", "for another alg"],
)
def test_a_key_is_found_by_its_kid_where_it_is_for_these_signatures(theirs: dict[str, Any], is_found: bool) -> None:  # noqa: FBT001
    assert published(theirs).has(OURS) is is_found


def test_if_the_keys_are_not_known_nobody_says_that_one_is_found() -> None:
    assert replace(published({**OURS.jwk, "kid": OURS.kid}), failure="http_500").has(OURS) is None


@pytest.mark.parametrize(
    ("theirs", "kid"),
    [
        ([{**OURS.jwk, "kid": "one"}], "one"),
        ([{**OURS.jwk, "kid": "enc", "use": "enc"}, {**OURS.jwk, "kid": "sig", "use": "sig"}], "sig"),
        ([{**OURS.jwk, "kid": "ps", "alg": "PS256"}, {**OURS.jwk, "kid": "rs", "alg": "RS256"}], "rs"),
        ([{**OURS.jwk, "kid": "ps", "alg": "PS256"}], None),
        ([{**OURS.jwk, "kid": 7}, {**OURS.jwk, "kid": ""}, dict(OURS.jwk)], None),
        ([{**OTHER.jwk, "kid": "other"}], None),
        ([], None),
    ],
)
def test_the_kid_is_that_of_a_published_key_that_may_sign_this_algorithm(theirs: list[dict[str, Any]], kid: str | None) -> None:
    assert published(*theirs).kid_of(OURS.jwk, "RS256") == kid


@pytest.mark.parametrize("issuer", [ISSUER, f"{ISSUER}/"])
def test_the_keys_are_read_where_the_issuer_says(issuer: str) -> None:
    web = Web({WELL_KNOWN: {**METADATA, "issuer": issuer}, "https://op.example/keys": {"keys": [{"kid": "one"}]}})

    found = read_as_a_relying_party_does(Provider("op", issuer, ()), web.read, allowed_networks=("127.0.0.0/8",))

    assert found == ProvidersKeys(WELL_KNOWN, "https://op.example/keys", ({"kid": "one"},), None)
    assert [each.allowed_networks for each in web.asked] == [("127.0.0.0/8",)] * 2


def test_where_the_issuer_does_not_answer_the_upstream_is_read() -> None:
    upstream = Upstream(jwks_uri="https://origin.example/keys", allowed_networks=("10.0.0.0/8",))
    web = Web({"https://origin.example/keys": {"keys": []}})

    found = read_as_a_relying_party_does(Provider("op", ISSUER, (), upstream=upstream), web.read, allowed_networks=())

    assert found == ProvidersKeys(None, "https://origin.example/keys", (), None)
    assert {each.allowed_networks for each in web.asked} == {("10.0.0.0/8",)}


@pytest.mark.parametrize("upstream", [None, Upstream(discovery="https://origin.example/metadata")])
def test_why_the_keys_are_not_known_is_said(upstream: Upstream | None) -> None:
    found = read_as_a_relying_party_does(Provider("op", ISSUER, (), upstream=upstream), Web({}).read, allowed_networks=())

    assert found.failure == "http_404"
    assert found.has(SigningKey("any", "RS256", "arn")) is None
