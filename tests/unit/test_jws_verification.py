import base64
import hashlib
import hmac
import json
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
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


def _part(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def test_a_key_that_the_header_brings_along_verifies_nothing() -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "stranger"})
    public = stranger.as_dict(private=False)
    links = {"jwk": public, "jku": "https://stranger.example/jwks", "x5u": "https://stranger.example/c", "x5c": ["MA=="]}
    for kid in ("rsa", "stranger", None):
        token = SIGNER.sign(SIGNER.claims("wiki"), stranger, **links, kid=kid)

        with pytest.raises(SignatureInvalidError):
            unverified(token).verify(KEYS)


def test_the_public_key_is_no_shared_secret() -> None:
    key = SIGNER.keys["RS256"]
    assert isinstance(key, RSAKey)
    signing_input = ".".join(_part(json.dumps(each).encode()) for each in ({"alg": "HS256", "kid": "rsa"}, SIGNER.claims("wiki")))
    for secret in (key.as_pem(private=False), key.as_der(private=False), json.dumps(key.as_dict(private=False)).encode()):
        token = f"{signing_input}.{_part(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"

        with pytest.raises(SignatureInvalidError, match="asymmetric"):
            unverified(token).verify([*KEYS, {"kty": "oct", "kid": "rsa", "k": _part(secret)}])


def test_an_rsa_key_of_1024_bits_verifies_nothing() -> None:
    with warnings.catch_warnings(category=SecurityWarning, action="ignore"):
        short = RSAKey.generate_key(1024, {"kid": "short"})
        token = unverified(SIGNER.sign(SIGNER.claims("wiki"), short))

    with pytest.raises(SignatureInvalidError):
        token.verify([short.as_dict(private=False)])


@pytest.mark.parametrize(("alg", "crv"), [("EdDSA", "Ed448"), ("EdDSA", "X25519"), ("ES256", "P-384"), ("ES256", "secp256k1")])
def test_a_key_on_another_curve_verifies_nothing(alg: str, crv: str) -> None:
    token = unverified(SIGNER.sign(SIGNER.claims("wiki"), alg=alg))

    for key in ({**SIGNER.keys[alg].as_dict(private=False), "crv": crv}, {"kty": "OKP", "crv": crv, "x": "A" * 76, "kid": "okp"}):
        with pytest.raises(SignatureInvalidError):
            token.verify([key])


def test_of_two_keys_with_one_kid_either_verifies_its_own_signature_alone() -> None:
    other = RSAKey.generate_key(2048, {"kid": "rsa"})
    keys = [other.as_dict(private=False), *KEYS]

    unverified(TOKEN).verify(keys)
    unverified(SIGNER.sign(SIGNER.claims("wiki"), other)).verify(keys)
    with pytest.raises(SignatureInvalidError):
        unverified(SIGNER.sign(SIGNER.claims("wiki"), RSAKey.generate_key(2048, {"kid": "rsa"}))).verify(keys)


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        (b'{"alg":"none","alg":"RS256","kid":"rsa"}', b'{"aud":"wiki"}'),
        (b'{"alg":"RS256","kid":"rsa"}', b'{"aud":"wiki","aud":"mail"}'),
        (b'{"alg":"RS256","kid":"rsa"}', b'{"events":{"a":{},"a":{}}}'),
        (b'{"alg":"RS256","kid":"rsa"}', b'{"exp":NaN}'),
        (b'{"alg":"RS256","kid":"rsa"}', b'{"sid":"\\ud800"}'),
        (b'\xef\xbb\xbf{"alg":"RS256","kid":"rsa"}', b'{"aud":"wiki"}'),
        (b'{"alg":"RS256","kid":"rsa"}\x00', b'{"aud":"wiki"}'),
        (b'{"alg":"RS256","kid":"rsa"}', b'["aud"]'),
    ],
)
def test_a_token_that_two_readers_could_read_differently_is_refused(header: bytes, claims: bytes) -> None:
    with pytest.raises(SignatureInvalidError, match="no JSON object"):
        unverified(f"{_part(header)}.{_part(claims)}.AA")


def test_only_a_named_key_that_is_not_in_the_set_is_unknown() -> None:
    assert unverified(TOKEN).names_unknown_key([])
    assert unverified(TOKEN).names_unknown_key([{"kid": "another"}])
    assert not unverified(TOKEN).names_unknown_key(KEYS)
    assert not unverified(SIGNER.sign({}, kid=None)).names_unknown_key([])


def test_an_encrypted_or_endless_token_is_refused() -> None:
    with pytest.raises(SignatureInvalidError, match="encrypted"):
        unverified("a.b.c.d.e")
    longest = _part(b'{"alg":"RS256"}') + ".e30."
    assert unverified(longest + "a" * (MAX_CHARACTERS - len(longest)))
    with pytest.raises(SignatureInvalidError, match="compact"):
        unverified(longest + "a" * (MAX_CHARACTERS - len(longest) + 1))


def test_claims_are_read_in_base64url_and_in_nothing_else() -> None:
    claims = _part(json.dumps({"sub": "ÿ?>~ÿ?>"}, ensure_ascii=False).encode())
    header = _part(b'{"alg":"RS256"}')
    assert "_" in claims

    assert unverified(f"{header}.{claims}.c2ln").claims == {"sub": "ÿ?>~ÿ?>"}
    for other in (claims.replace("_", "/"), f"{claims}=", f"{claims}!"):
        with pytest.raises(SignatureInvalidError):
            unverified(f"{header}.{other}.c2ln")


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
