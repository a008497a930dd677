"""The provider's discovery document, checked and merged; where its JWKS is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import DocumentUnavailable
from backchannel.tokens.documents import Accept, Document
from backchannel.tokens.locations import Location, Upstream
from backchannel.tokens.provider_metadata import checks, merged
from backchannel.tokens.upstream import read_jwk_set, read_metadata
from tests.support.json_values import json_values

ISSUER = "https://op.example"
OURS = "https://keys.example/providers/acme/jwks.json"
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "response_types_supported": ["code"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
}
"""What Discovery requires, and nothing else."""

IMPLICIT = ["id_token", "id_token token"]


def without(name: str) -> dict[str, Any]:
    return {other: value for other, value in METADATA.items() if other != name}


def test_a_document_with_what_is_required_is_accepted() -> None:
    checks(ISSUER, needs_jwks_uri=True)(METADATA)


@pytest.mark.parametrize("name", METADATA)
def test_a_required_member_that_is_missing_or_of_another_type_is_named(name: str) -> None:
    wrong: list[object] = [None, 7, [], [7], {}, "text" if name.endswith("_supported") else ["text"]]

    for document in (without(name), *({**METADATA, name: value} for value in wrong)):
        with pytest.raises(ValueError, match=name):
            checks(ISSUER, needs_jwks_uri=True)(document)


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", "https://OP.example", "http://op.example", f"{ISSUER} ", [ISSUER]])
def test_the_issuer_must_be_exactly_that_of_the_provider(issuer: object) -> None:
    with pytest.raises(ValueError, match="issuer is not exactly") as error:
        checks(ISSUER, needs_jwks_uri=True)({**METADATA, "issuer": issuer})

    assert f"{issuer!r}, not {ISSUER!r}" in str(error.value)


def test_a_provider_of_implicit_flows_alone_needs_no_token_endpoint() -> None:
    checks(ISSUER, needs_jwks_uri=True)({**without("token_endpoint"), "response_types_supported": IMPLICIT})
    with pytest.raises(ValueError, match="token_endpoint"):
        checks(ISSUER, needs_jwks_uri=True)(
            {**without("token_endpoint"), "response_types_supported": [*IMPLICIT, "code id_token"]}
        )


def test_a_document_without_jwks_uri_will_do_where_the_keys_are_known() -> None:
    checks(ISSUER, needs_jwks_uri=False)(without("jwks_uri"))


@given(st.dictionaries(st.text(), json_values))
def test_whatever_is_no_discovery_document_is_a_value_error(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|is not exactly"):
        checks(ISSUER, needs_jwks_uri=True)({**document, "subject_types_supported": []})


@given(st.dictionaries(st.text(), json_values))
def test_the_merged_document_differs_in_what_is_ours_alone(more: dict[str, Any]) -> None:
    document = {**more, **METADATA, "signed_metadata": "a.b.c", "backchannel_logout_supported": False}

    assert merged(document, OURS) == {
        **{name: value for name, value in more.items() if name != "signed_metadata"},
        **METADATA,
        "jwks_uri": OURS,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


def reading(documents: dict[str, Any], seen: list[Location]) -> Any:
    def read(location: Location, accept: Accept) -> Document:
        seen.append(location)
        accept(documents[location.uri])
        return Document(documents[location.uri], 0)

    return read


def test_the_jwks_is_where_the_discovery_document_says_with_the_same_trust() -> None:
    seen: list[Location] = []
    upstream = Upstream(f"{ISSUER}/d", allowed_networks=("10.0.0.0/8",), ca_bundle="PEM")
    read = reading({f"{ISSUER}/d": METADATA, f"{ISSUER}/jwks": {"keys": [{"kid": "a"}]}}, seen)

    found = read_jwk_set(upstream, read_metadata(upstream, ISSUER, read), read)

    assert found.content == {"keys": [{"kid": "a"}]}
    assert seen == [Location(f"{ISSUER}/{name}", ("10.0.0.0/8",), "PEM") for name in ("d", "jwks")]


def test_a_configured_jwks_uri_comes_before_the_one_of_the_discovery_document() -> None:
    seen: list[Location] = []
    read = reading({f"{ISSUER}/d": METADATA, f"{ISSUER}/k": {"keys": []}}, seen)
    upstream = Upstream(f"{ISSUER}/d", f"{ISSUER}/k")

    read_jwk_set(upstream, read_metadata(upstream, ISSUER, read), read)

    assert [location.uri for location in seen] == [f"{ISSUER}/d", f"{ISSUER}/k"]


def test_beside_a_configured_jwks_uri_the_discovery_document_needs_none() -> None:
    found = read_metadata(Upstream(f"{ISSUER}/d", f"{ISSUER}/k"), ISSUER, reading({f"{ISSUER}/d": without("jwks_uri")}, []))

    assert found is not None
    assert found.content == without("jwks_uri")


def test_without_a_url_nothing_is_read() -> None:
    assert read_metadata(Upstream(jwks_uri=f"{ISSUER}/k"), ISSUER, reading({}, [])) is None
    with pytest.raises(DocumentUnavailable):
        read_jwk_set(Upstream(), None, reading({}, []))
