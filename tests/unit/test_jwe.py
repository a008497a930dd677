import pytest
from joserfc.errors import JoseError

from backchannel.errors import EncryptionKeyUnavailable
from backchannel.tokens.jwe import ENCS, encrypt, recipient
from tests.support.encrypting import ALGS, Jwk, decrypted, kinds_of, private_key, public_jwk

TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"
ISSUER = "https://idp.example/ä"
P256 = public_jwk("P-256")


@pytest.mark.parametrize("enc", ENCS)
@pytest.mark.parametrize(("alg", "kind"), [(alg, kind) for alg in ALGS for kind in kinds_of(alg)])
def test_another_library_decrypts_every_alg_and_enc_to_every_kind_of_key(alg: str, kind: str, enc: str) -> None:
    encrypted = encrypt(recipient(alg, enc, public_jwk(kind, kid="k1")), ISSUER, TOKEN)

    header, content = decrypted(encrypted, private_key(kind))
    assert content == TOKEN
    epk = header.pop("epk", None)
    assert header == {"alg": alg, "enc": enc, "cty": "JWT", "iss": ISSUER, "kid": "k1"}
    assert (epk is None) == (kind == "RSA")
    assert "d" not in (epk or {})


def test_a_key_without_kid_makes_a_header_without_kid_and_none_has_a_typ() -> None:
    header, _ = decrypted(encrypt(recipient("ECDH-ES", "A128GCM", P256), ISSUER, TOKEN), private_key("P-256"))

    assert not {"kid", "typ"} & header.keys()


def test_an_encrypted_token_needs_no_escaping_in_a_form() -> None:
    encrypted = encrypt(recipient("RSA-OAEP", "A128CBC-HS256", public_jwk("RSA")), ISSUER, TOKEN)

    assert encrypted.count(".") == 4
    assert encrypted.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert encrypted.isascii()


def test_no_two_tokens_are_encrypted_alike() -> None:
    to = recipient("ECDH-ES", "A128GCM", P256)

    first, second = encrypt(to, ISSUER, TOKEN).split("."), encrypt(to, ISSUER, TOKEN).split(".")

    assert not {*first} & {*second} - {""}


def test_nobody_else_reads_a_token() -> None:
    encrypted = encrypt(recipient("ECDH-ES", "A128GCM", P256), ISSUER, TOKEN)

    with pytest.raises(JoseError):
        decrypted(encrypted, private_key("P-256", 1))


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("ECDH-ES", P256 | {"x": P256["y"]}),
        ("ECDH-ES", P256 | {"x": "AAAA", "y": "AAAA"}),
        ("ECDH-ES", P256 | {"x": 5}),
        ("ECDH-ES", {name: value for name, value in P256.items() if name != "y"}),
        ("ECDH-ES", {"kty": "OKP", "crv": "X25519", "x": "A" * 43}),
        ("ECDH-ES", {"kty": "OKP", "crv": "X25519", "x": "AAAA"}),
        ("RSA-OAEP", public_jwk("RSA") | {"e": "AQ"}),
        ("RSA-OAEP", public_jwk("RSA") | {"e": "Ag"}),
        ("RSA-OAEP", public_jwk("RSA") | {"n": "_" * 30_000}),
        ("RSA-OAEP", public_jwk("RSA") | {"n": "!"}),
    ],
    ids=[
        *("off the curve", "short", "a number", "half a point", "low order", "short OKP"),
        *("e of 1", "even e", "too large", "not base64url"),
    ],
)
def test_a_key_that_nothing_can_be_encrypted_to_is_found_out_before_a_token_is_signed(alg: str, key: Jwk) -> None:
    with pytest.raises(EncryptionKeyUnavailable, match="'k1'"):
        recipient(alg, "A128GCM", key | {"kid": "k1"})
