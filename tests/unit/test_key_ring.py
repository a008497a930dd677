from dataclasses import replace

import pytest
from joserfc.jwk import KeySet, RSAKey

from backchannel.errors import SigningUnavailable
from backchannel.tokens.jwks import jwk_set
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_ring import KeyState, SigningKey, signing_key
from backchannel.tokens.public_keys import thumbprint
from tests.support.signing import relying_partys_keys, ring


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_key_that_signs_an_algorithm_is_found(alg: str) -> None:
    assert signing_key(ring(), alg).alg == alg


def test_a_key_that_is_only_published_never_signs() -> None:
    old, new = (SigningKey(kid, "ES256", f"arn:{kid}") for kid in ("old", "new"))

    assert signing_key([replace(old, state="published"), new], "ES256") == new
    with pytest.raises(SigningUnavailable):
        signing_key([replace(old, state="published")], "ES256")


def test_a_key_of_another_algorithm_never_signs() -> None:
    with pytest.raises(SigningUnavailable):
        signing_key([key for key in ring() if key.alg != "PS256"], "PS256")


@pytest.mark.parametrize("key", ring(), ids=lambda key: key.alg)
def test_the_kid_is_the_thumbprint_of_rfc_7638(key: SigningKey) -> None:
    (read,) = KeySet.import_key_set({"keys": [dict(key.jwk)]}).keys

    assert key.kid == read.thumbprint()


def test_the_thumbprint_matches_the_example_of_rfc_7638() -> None:
    # RFC 7638, section 3.1
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst"
        "n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn"
        "1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    example = RSAKey.import_key({"kty": "RSA", "n": modulus, "e": "AQAB"})

    assert thumbprint(example.as_der(private=False)) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_every_published_key_names_its_kid_algorithm_and_use() -> None:
    published = jwk_set(ring())["keys"]

    assert [(key["kid"], key["alg"], key["use"]) for key in published] == [(key.kid, key.alg, "sig") for key in ring()]
    assert len({key["kid"] for key in published}) == len(ALGORITHMS)


def test_no_private_member_is_published() -> None:
    published = jwk_set(ring())["keys"]

    assert {frozenset(key) for key in published} == {
        frozenset({"kty", "n", "e", "kid", "alg", "use"}),
        frozenset({"kty", "crv", "x", "y", "kid", "alg", "use"}),
        frozenset({"kty", "crv", "x", "kid", "alg", "use"}),
    }


@pytest.mark.parametrize("state", ["published", "signing", "retired"])
def test_a_key_is_published_from_before_its_use_until_after_it(state: KeyState) -> None:
    key = replace(ring()[0], state=state)

    assert [each["kid"] for each in jwk_set([key])["keys"]] == [key.kid]


@pytest.mark.parametrize("state", ["withdrawn", "deleted"])
def test_a_key_that_was_withdrawn_is_published_no_more(state: KeyState) -> None:
    assert jwk_set([replace(ring()[0], state=state)]) == {"keys": []}


def test_another_library_reads_the_published_set() -> None:
    assert {key.kid for key in relying_partys_keys().keys} == {key.kid for key in ring()}


def test_an_empty_ring_is_an_empty_set() -> None:
    assert jwk_set([]) == {"keys": []}
