import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from backchannel.errors import SignatureInvalidError
from backchannel.tokens.jws_verification import MAX_CHARACTERS, unverified
from tests.support.json_values import json_values
from tests.support.logout_tokens import TokenSigner, unsigned

SIGNER = TokenSigner("https://idp.example/")
KEYS = SIGNER.jwk_set["keys"]
TOKEN = SIGNER.sign(SIGNER.claims("wiki"))


@pytest.mark.parametrize("alg", SIGNER.keys)
def test_a_token_is_verified_by_the_key_that_it_names(alg: str) -> None:
    token = unverified(SIGNER.sign(SIGNER.claims("wiki"), alg=alg))

    token.verify(KEYS)

    assert (token.alg, token.claims["aud"]) == (alg, "wiki")


def test_a_token_that_names_no_key_is_verified_by_the_only_one_that_fits() -> None:
    unverified(SIGNER.sign(SIGNER.claims("wiki"), kid=None)).verify(KEYS)

    another = RSAKey.generate_key(2048, {"kid": "rsa-2"}).as_dict(private=False)
    with pytest.raises(SignatureInvalidError, match="several fit"):
        unverified(SIGNER.sign(SIGNER.claims("wiki"), kid=None)).verify([*KEYS, another])


@pytest.mark.parametrize("changed", range(len(TOKEN) - 1))
def test_a_token_with_any_character_changed_is_refused(changed: int) -> None:
    # The last character of a part may hold bits that nobody reads.
    if TOKEN[changed + 1 : changed + 2] in {".", ""} or TOKEN[changed] == ".":
        return
    altered = TOKEN[:changed] + ("A" if TOKEN[changed] != "A" else "B") + TOKEN[changed + 1 :]

    with pytest.raises(SignatureInvalidError):
        unverified(altered).verify(KEYS)


def test_a_signature_with_the_client_s_secret_or_none_is_refused() -> None:
    claims = SIGNER.claims("wiki")

    for token in (SIGNER.sign(claims, OctKey.generate_key(256, {"kid": "rsa"}), alg="HS256"), unsigned(claims) + "AA"):
        with pytest.raises(SignatureInvalidError, match="asymmetric"):
            unverified(token)
    with pytest.raises(SignatureInvalidError):
        unverified(unsigned(claims))


@pytest.mark.parametrize(
    "changed", [{"use": "enc"}, {"alg": "PS256"}, {"key_ops": ["sign"]}, {"kid": "other"}, {"n": "AQAB"}, {"n": 7}]
)
def test_a_key_that_is_not_for_this_signature_does_not_verify_it(changed: dict[str, object]) -> None:
    key = {**SIGNER.keys["RS256"].as_dict(private=False), **changed}

    with pytest.raises(SignatureInvalidError):
        unverified(TOKEN).verify([key])


def test_another_key_under_the_same_kid_does_not_verify() -> None:
    for key in (RSAKey.generate_key(2048, {"kid": "rsa"}), ECKey.generate_key("P-256", {"kid": "rsa"})):
        with pytest.raises(SignatureInvalidError):
            unverified(TOKEN).verify([key.as_dict(private=False)])


@pytest.mark.parametrize(
    "header", [{"crit": ["b64"], "b64": False}, {"b64": True}, {"crit": []}, {"kid": 7}, {"typ": 7}, {"alg": ["RS256"]}]
)
def test_a_header_that_is_not_understood_is_refused(header: dict[str, object]) -> None:
    encoded = TokenSigner("x").sign({})
    part = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "rsa", **header}).encode()).rstrip(b"=").decode()

    with pytest.raises(SignatureInvalidError):
        unverified(".".join([part, *encoded.split(".")[1:]]))


def test_only_a_named_key_that_is_not_in_the_set_is_unknown() -> None:
    assert unverified(TOKEN).names_unknown_key([])
    assert not unverified(TOKEN).names_unknown_key(KEYS)
    assert not unverified(SIGNER.sign({}, kid=None)).names_unknown_key([])


def test_an_encrypted_or_endless_token_is_refused() -> None:
    with pytest.raises(SignatureInvalidError, match="encrypted"):
        unverified("a.b.c.d.e")
    with pytest.raises(SignatureInvalidError):
        unverified("a" * MAX_CHARACTERS + ".b.c")


def test_a_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(unverified(TOKEN))
    assert "sid-of-ada" not in repr(unverified(TOKEN))


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", fullmatch=True), st.lists(json_values))
@example("..", [])
def test_no_text_makes_the_verifier_raise_anything_but_its_own_error(text: str, keys: list[object]) -> None:
    with pytest.raises(SignatureInvalidError):
        unverified(text).verify([key for key in keys if isinstance(key, dict)])


@given(
    st.dictionaries(
        st.sampled_from(["kty", "n", "e", "crv", "x", "y", "kid", "use", "alg", "key_ops"]),
        json_values | st.sampled_from(["RSA", "EC", "rsa", "AQAB", "P-256"]),
    )
)
def test_no_key_makes_the_verifier_raise_anything_but_its_own_error(key: dict[str, object]) -> None:
    with pytest.raises(SignatureInvalidError):
        unverified(TOKEN).verify([{"kty": "RSA", "kid": "rsa", **key}])
