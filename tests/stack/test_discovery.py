"""What relying parties read of a provider that publishes nothing itself; test_upstream has the others."""

import pytest

from local.client import Response, Stack
from tests.stack.tokens import published_keys
from tests.support.provider import Provider

DOCUMENTS = ("jwks.json", ".well-known/openid-configuration")


def read(stack: Stack, provider: str, document: str, **headers: str) -> Response:
    return stack.request("GET", f"/providers/{provider}/{document}", headers=headers)


def test_the_jwks_shows_the_public_half_of_each_key(shared_provider: Provider, stack: Stack) -> None:
    for alg in ("RS256", "ES256", "EdDSA"):
        shared_provider.register_client("https://rp.example/logout", id_token_signed_response_alg=alg)

    keys = read(stack, shared_provider.name, "jwks.json").body["keys"]

    assert {(key["alg"], key["kty"], key["use"]) for key in keys} == {
        ("RS256", "RSA", "sig"),
        ("ES256", "EC", "sig"),
        ("EdDSA", "OKP", "sig"),
    }
    assert all(not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} for key in keys)
    assert [key.thumbprint() for key in published_keys(shared_provider).keys] == [key["kid"] for key in keys]


def test_the_jwks_can_be_cached_and_validated(shared_provider: Provider, stack: Stack) -> None:
    fresh = read(stack, shared_provider.name, "jwks.json")
    etag = fresh.headers["etag"]

    assert fresh.headers["content-type"] == "application/json"
    assert fresh.headers["cache-control"] == "public, max-age=60, stale-if-error=1800"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = read(stack, shared_provider.name, "jwks.json", **{"If-None-Match": known})
        assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, None, etag)
    assert read(stack, shared_provider.name, "jwks.json", **{"If-None-Match": '"other"'}).status == 200


def test_there_is_no_discovery_document_but_advice(shared_provider: Provider, stack: Stack) -> None:
    response = read(stack, shared_provider.name, ".well-known/openid-configuration")

    assert (response.status, response.body["code"]) == (404, "discovery_not_configured")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("provider", ["nobody", "x" * 2100], ids=len)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_an_unknown_provider_has_no_documents(stack: Stack, document: str, provider: str) -> None:
    response = read(stack, provider, document)

    assert (response.status, response.body["code"]) == (404, "not_found")
    assert response.headers["content-type"] == "application/problem+json"
