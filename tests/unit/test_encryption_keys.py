from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import EncryptionKeyUnavailable
from backchannel.tokens.encryption_keys import KEY_TYPES, MIN_RSA_BITS, choose
from backchannel.tokens.jwks import PRIVATE_MEMBERS
from tests.support.encrypting import ALGS, KINDS, Jwk, kinds_of, private_jwk, public_jwk

RSA, EC = public_jwk("RSA", kid="rsa"), public_jwk("P-256", kid="ec")
ED25519 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "ed"}
WEAK = {"kty": "RSA", "n": "_" * (MIN_RSA_BITS // 6), "e": "AQAB", "kid": "weak"}


@pytest.mark.parametrize("alg", ALGS)
def test_of_keys_of_all_kinds_the_one_of_the_right_type_is_chosen(alg: str) -> None:
    assert choose([RSA, EC, ED25519], alg) is (RSA if alg.startswith("RSA") else EC)


@pytest.mark.parametrize(("alg", "kind"), [(alg, kind) for alg in ALGS for kind in kinds_of(alg)])
def test_a_key_may_be_on_any_curve_that_the_algorithm_knows(alg: str, kind: str) -> None:
    key = public_jwk(kind)

    assert choose([key], alg) is key


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"alg": "RSA-OAEP"},
        {"use": "enc", "alg": "RSA-OAEP"},
        {"key_ops": ["encrypt"]},
        {"key_ops": ["wrapKey", "verify"]},
        {"x5t": "unknown", "ext": True},
    ],
)
def test_a_key_that_says_it_is_for_this_fits(members: Jwk) -> None:
    assert choose([RSA | members], "RSA-OAEP") == RSA | members


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (RSA | {"use": "sig"}, "'rsa' is not for encryption"),
        (RSA | {"use": None}, "'rsa' is not for encryption"),
        (RSA | {"use": ["enc"]}, "'rsa' is not for encryption"),
        (RSA | {"alg": "RSA-OAEP-256"}, "'rsa' is for another alg"),
        (RSA | {"alg": "RS256"}, "'rsa' is for another alg"),
        (RSA | {"key_ops": ["verify"]}, "'rsa' does not permit it in key_ops"),
        (RSA | {"key_ops": []}, "'rsa' does not permit it in key_ops"),
        (RSA | {"key_ops": "encrypt"}, "'rsa' does not permit it in key_ops"),
        (WEAK, "'weak' has less than 2048 bits"),
        (RSA | {"n": "A" * 400 + str(WEAK["n"])}, "'rsa' has less than 2048 bits"),
        (RSA | {"n": 65537}, "'rsa' has less than 2048 bits"),
        (RSA | {"n": "ä"}, "'rsa' has less than 2048 bits"),
        (private_jwk("RSA") | {"kid": "rsa"}, "'rsa' has its private half beside it"),
        (EC, "'ec' is of another type"),
        ({"kty": ["RSA"]}, "one without kid is of another type"),
        ({"kid": 7}, "one without kid is of another type"),
        ("RSA", "one without kid is no object"),
        (None, "one without kid is no object"),
    ],
)
def test_a_key_that_does_not_fit_is_not_chosen_and_the_error_says_why(key: object, why: str) -> None:
    with pytest.raises(EncryptionKeyUnavailable) as failure:
        choose([key], "RSA-OAEP")

    assert str(failure.value) == f"no key fits RSA-OAEP: {why}"


@pytest.mark.parametrize(
    ("crv", "kty"), [("secp256k1", "EC"), ("Ed25519", "OKP"), ("X448", "OKP"), (["P-256"], "EC"), (None, "EC")]
)
def test_a_key_on_a_curve_that_is_not_for_encryption_does_not_fit(crv: object, kty: str) -> None:
    with pytest.raises(EncryptionKeyUnavailable, match="one without kid is on another curve"):
        choose([{"kty": kty, "crv": crv, "x": "AAAA", "y": "AAAA"}], "ECDH-ES")


@pytest.mark.parametrize("key_ops", [[], ["deriveKey"], ["deriveBits"], ["deriveKey", "deriveBits"]])
def test_the_public_half_of_a_key_agreement_may_permit_nothing_as_webcrypto_exports_it(key_ops: list[str]) -> None:
    assert choose([EC | {"key_ops": key_ops}], "ECDH-ES+A128KW")


def test_a_set_without_keys_is_an_error_that_says_so() -> None:
    with pytest.raises(EncryptionKeyUnavailable, match="no key fits ECDH-ES: the set is empty"):
        choose([], "ECDH-ES")


def test_two_keys_that_fit_are_an_error_that_names_them() -> None:
    other = public_jwk("RSA", 1)

    with pytest.raises(EncryptionKeyUnavailable) as failure:
        choose([RSA, EC, other], "RSA-OAEP")

    assert str(failure.value) == "2 keys fit RSA-OAEP: 'rsa', one without kid"


@pytest.mark.parametrize(
    ("said", "other"),
    [
        ({"use": "enc"}, {}),
        ({"alg": "RSA-OAEP"}, {}),
        ({"use": "enc", "alg": "RSA-OAEP"}, {"use": "enc"}),
        ({"use": "enc", "alg": "RSA-OAEP"}, {"alg": "RSA-OAEP"}),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_keys_that_fit_the_one_that_says_more_wins(said: Jwk, other: Jwk, is_first: bool) -> None:  # noqa: FBT001
    meant, silent = RSA | said, public_jwk("RSA", 1) | other

    assert choose([meant, silent] if is_first else [silent, meant], "RSA-OAEP") is meant


@pytest.mark.parametrize(("first", "second"), [({"use": "enc"}, {"use": "enc"}), ({"use": "enc"}, {"alg": "RSA-OAEP"})])
def test_of_two_keys_that_say_as_much_none_wins(first: Jwk, second: Jwk) -> None:
    with pytest.raises(EncryptionKeyUnavailable, match="2 keys fit"):
        choose([RSA | first, RSA | second], "RSA-OAEP")


def test_an_error_names_few_keys_and_shows_no_more_of_a_kid_than_of_any_name() -> None:
    with pytest.raises(EncryptionKeyUnavailable) as failure:
        choose([EC | {"kid": "\x1b\n" + "k" * 10_000}] * 16, "RSA-OAEP")

    assert len(str(failure.value)) < 600
    assert str(failure.value).isprintable()
    assert str(failure.value).endswith("and 11 more")


VALUES = (
    st.none() | st.sampled_from(["RSA", "EC", "OKP", "enc", "sig", "P-256", "AQAB", *KEY_TYPES]) | st.lists(st.text(max_size=3))
)
MEMBERS = st.sampled_from(["kty", "crv", "use", "alg", "kid", "n", "e", "x", "y", "key_ops", "d"])
KEYS = (
    st.none()
    | st.text()
    | st.dictionaries(MEMBERS, VALUES)
    | st.builds(lambda kind, more: public_jwk(kind) | more, st.sampled_from(KINDS), st.dictionaries(MEMBERS, VALUES, max_size=2))
)


@given(st.lists(KEYS, max_size=5), st.sampled_from(ALGS))
def test_of_any_keys_one_that_may_be_used_is_chosen_or_none(keys: list[Any], alg: str) -> None:
    try:
        key = choose(keys, alg)
    except EncryptionKeyUnavailable:
        return

    assert any(key is each for each in keys)
    assert key["kty"] in KEY_TYPES[alg]
    assert key.get("use", "enc") == "enc"
    assert key.get("alg", alg) == alg
    assert not PRIVATE_MEMBERS & key.keys()


@given(st.lists(KEYS, max_size=5), st.sampled_from(ALGS), st.randoms())
def test_the_order_of_the_keys_decides_nothing(keys: list[Any], alg: str, rng: Any) -> None:
    shuffled = rng.sample(keys, len(keys))

    assert _chosen(keys, alg) == _chosen(shuffled, alg)


def _chosen(keys: list[Any], alg: str) -> object:
    try:
        return choose(keys, alg)
    except EncryptionKeyUnavailable:
        return None
