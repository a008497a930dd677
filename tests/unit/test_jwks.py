"""The provider's keys and ours in one set."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto.jwk import JWK

from backchannel.errors import KidClash
from backchannel.tokens.jwks import PRIVATE_MEMBERS, check_jwk_set, jwk_set
from tests.support.json_values import json_values
from tests.support.signing import ring

type Key = dict[str, Any]

OURS = jwk_set(ring())["keys"]
RSA = next(key for key in OURS if key["kty"] == "RSA")
THEIRS: Key = {"kty": "RSA", "n": "sXch", "e": "AQAB", "kid": "their-2026", "use": "sig", "alg": "RS256", "x5c": ["MIIB"]}
KINDS = ["RSA", "EC", "OKP", "oct", "AKP", "XYZ", "", "rsa"]
MEMBERS = sorted({"kid", "use", "alg", "n", "e", "crv", "x", "y", "x5c", "D", "key_ops"} | PRIVATE_MEMBERS)

CHANGES: list[Key] = [
    *({"kty": kty} for kty in ("XYZ", None)),
    *({"n": number} for number in ("sXch", 7, None)),
    {"e": "Aw"},
    {"x": "sXch"},
    {"y": "a"},
    {"crv": "P-999"},
]
"""What makes another key of one."""

any_key = st.builds(
    dict[str, Any].__or__,
    st.fixed_dictionaries({}, optional={"kty": st.sampled_from(KINDS) | json_values}),
    st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=8), json_values, max_size=8),
)


def without(key: Key, *names: str) -> Key:
    return {name: value for name, value in key.items() if name not in names}


def test_the_providers_keys_come_first_and_are_as_they_were() -> None:
    assert jwk_set(ring(), [THEIRS]) == {"keys": [THEIRS, *OURS]}


@pytest.mark.parametrize("kid", [ring()[0].kid, "their-name-for-it"])
@pytest.mark.parametrize("state", ["withdrawn", "deleted"])
def test_a_key_of_ours_that_was_withdrawn_is_not_published_though_the_provider_still_does(state: Any, kid: str) -> None:
    suspect, *others = ring()
    copied: Key = {**suspect.jwk, "kid": kid}

    published = jwk_set((replace(suspect, state=state), *others), [THEIRS, copied])

    assert published == jwk_set(others, [THEIRS])
    assert copied in jwk_set((replace(suspect, state=state, is_own=True), *others), [THEIRS, copied])["keys"]


@given(st.lists(any_key, max_size=5))
def test_no_private_member_of_any_key_is_ever_published(keys: list[Key]) -> None:
    published = jwk_set(ring(), keys)["keys"]

    assert all(not PRIVATE_MEMBERS & key.keys() for key in published)
    assert all(key.get("kty") != "oct" for key in published)


@given(st.lists(any_key, max_size=5))
def test_whatever_else_a_key_has_passes_through(keys: list[Key]) -> None:
    published = jwk_set(ring(), keys)["keys"]

    kept = [key for key in keys if key.get("kty") != "oct"]
    assert [without(key, "kid") for key in published[: len(kept)]] == [without(key, "kid", *PRIVATE_MEMBERS) for key in kept]
    assert published[len(kept) :] == OURS


@given(st.lists(any_key, max_size=5))
def test_whatever_is_published_can_be_written_as_json(keys: list[Key]) -> None:
    assert json.loads(json.dumps(jwk_set(ring(), keys)))["keys"][-len(OURS) :] == OURS


@pytest.mark.parametrize("alg", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
@pytest.mark.parametrize("kid", [None, "", " ", 7])
def test_a_key_without_a_kid_gets_its_thumbprint(alg: str, kid: object) -> None:
    key = without(next(key for key in OURS if key["alg"] == alg), "kid", "alg")

    (named,) = jwk_set([], [key if kid is None else {**key, "kid": kid}])["keys"]

    assert named == {**key, "kid": JWK(**key).thumbprint()}


def test_the_thumbprint_is_that_of_the_specification() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn6"
        "4tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91"
        "CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )

    (named,) = jwk_set([], [{"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256"}])["keys"]

    assert named["kid"] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"  # RFC 7638, section 3.1


@pytest.mark.parametrize("key", [{"kty": "XYZ"}, {"kty": "RSA", "n": "sXch"}, {"kty": "EC", "crv": 1, "x": "a", "y": "b"}, {}])
def test_a_key_whose_thumbprint_nobody_knows_stays_without_a_kid(key: Key) -> None:
    assert jwk_set([], [key])["keys"] == [key]


def test_the_private_half_is_taken_from_a_key_that_gets_a_kid() -> None:
    key = JWK.generate(kty="EC", crv="P-256").export(as_dict=True)

    (named,) = jwk_set([], [without(key, "kid")])["keys"]

    assert named.keys() == {"kty", "crv", "x", "y", "kid"}


@pytest.mark.parametrize("ours", OURS, ids=lambda key: key["alg"])
def test_a_key_of_ours_that_the_provider_publishes_appears_once(ours: Key) -> None:
    theirs = {**without(ours, "alg"), "x5t": "thumbprint of a certificate"}

    published = jwk_set(ring(), [theirs])["keys"]

    assert published == [theirs, *(key for key in OURS if key != ours)]


@pytest.mark.parametrize("misstated", [{"use": "enc"}, {"alg": "RSA-OAEP"}])
def test_a_key_of_ours_that_the_provider_publishes_for_another_purpose_is_published_as_it_is(misstated: Key) -> None:
    assert jwk_set(ring(), [THEIRS, {**RSA, **misstated}])["keys"] == [THEIRS, *OURS]


def test_a_key_of_the_providers_own_is_published_as_the_provider_does() -> None:
    theirs = {**RSA, "alg": "PS256"}

    assert jwk_set([replace(key, is_own=True) for key in ring()], [theirs])["keys"][0] == theirs


def test_a_number_with_leading_zeros_is_the_same_number() -> None:
    octets = base64.urlsafe_b64decode(RSA["n"] + "==")
    padded = base64.urlsafe_b64encode(b"\0" + octets).decode()  # with padding, which does not belong there either

    published = jwk_set(ring(), [{**RSA, "n": padded}])["keys"]

    assert [key["kid"] for key in published].count(RSA["kid"]) == 1


@pytest.mark.parametrize(
    ("ours", "change"), [(key, change) for key in OURS for change in CHANGES if change.keys() <= key.keys()], ids=str
)
def test_another_key_under_a_kid_of_ours_is_a_clash(ours: Key, change: Key) -> None:
    with pytest.raises(KidClash, match=ours["kid"]):
        jwk_set(ring(), [THEIRS, {**ours, **change}])


def test_a_second_key_under_a_kid_of_ours_is_a_clash_though_the_first_is_ours() -> None:
    with pytest.raises(KidClash):
        jwk_set(ring(), [RSA, {**RSA, "n": "sXch"}])


def test_what_the_provider_does_with_its_own_kids_is_its_own_affair() -> None:
    twice = [THEIRS, {**THEIRS, "n": "sXci"}, THEIRS]

    assert jwk_set([], twice)["keys"] == twice


@pytest.mark.parametrize("keys", [[], [{}], [{"kty": "XYZ"}]])
def test_a_jwk_set_is_an_object_with_an_array_of_objects(keys: list[Key]) -> None:
    check_jwk_set({"keys": keys, "more": 1})


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": ["key"]}, {"keys": [{}, None]}, {"KEYS": []}])
def test_what_is_no_jwk_set_is_refused(document: Key) -> None:
    with pytest.raises(ValueError, match="keys must be an array of objects"):
        check_jwk_set(document)
