from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import example, given, reject
from hypothesis import strategies as st
from joserfc import jws as foreign_jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey

from backchannel.tokens import jws
from backchannel.tokens.key_ring import SigningKey
from tests.support.signing import ring, signer, verified

# RFC 7515, appendix A.3
RFC_INPUT = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RFC_R = 0x0ED12153_79636C48_3C2F7F15_5807D402_A3B22803_3AF97C7E_17819AC3_169EA665
RFC_S = 0xC50A07D3_8C3C70E5_D8F12DAF_084A5480_A66590C5_F293509A_8F3F7F8A_83A354D5
RFC_SIGNATURE = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
RFC_KEY: dict[str, str | list[str]] = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}

integers = st.integers(1, 2**256 - 1) | st.sampled_from([1, 0x7F, 0x80, 0xFF, 2**255 - 1, 2**255, 2**256 - 1])


def test_base64url_has_no_padding_as_in_appendix_c_of_rfc_7515() -> None:
    assert jws.encode(bytes([3, 236, 255, 224, 193])) == "A-z_4ME"


@given(st.binary())
@example(bytes.fromhex("5d75d7"))  # XXXX
@example(b"\xff\xff\xff")
def test_base64url_is_read_back_by_another_library(octets: bytes) -> None:
    encoded = jws.encode(octets)

    assert urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)) == octets


def test_the_token_of_rfc_7515_appendix_a_3_is_made_from_a_der_signature() -> None:
    signature = jws.raw_signature(encode_dss_signature(RFC_R, RFC_S), 32)

    token = jws.serialize(RFC_INPUT, signature)

    assert token == f"{RFC_INPUT.decode()}.{RFC_SIGNATURE}"
    assert foreign_jws.deserialize_compact(token, ECKey.import_key(RFC_KEY), algorithms=["ES256"])


def test_header_and_claims_are_compact_utf_8() -> None:
    octets = jws.signing_input({"alg": "ES256"}, {"sub": "jürgen", "events": {}})

    assert octets == f"eyJhbGciOiJFUzI1NiJ9.{jws.encode('{"sub":"jürgen","events":{}}'.encode())}".encode()


@pytest.mark.parametrize("octets", [32, 48, 66])  # of P-256, P-384 and P-521
@given(data=st.data())
def test_r_and_s_survive_der(octets: int, data: st.DataObject) -> None:
    most = 2 ** (8 * octets) - 1
    numbers = st.integers(1, most) | st.sampled_from([1, 0x7F, 0x80, 0xFF, most // 2, most // 2 + 1, most])
    r, s = data.draw(numbers), data.draw(numbers)

    raw = jws.raw_signature(encode_dss_signature(r, s), octets)

    assert (int.from_bytes(raw[:octets]), int.from_bytes(raw[octets:]), len(raw)) == (r, s, 2 * octets)


@given(st.binary(max_size=80))
@example(b"")
@example(b"\x30")
@example(b"\x30\x00")
@example(b"\x30\x06\x02\x01\x01\x02\x01")
@example(b"\x30\x04\x02\x00\x02\x00")
@example(b"\x30\x80\x02\x01\x01\x02\x01\x01\x00\x00")
def test_garbage_is_a_value_error_or_a_signature(der: bytes) -> None:
    _raw_or_value_error(der)


@given(integers, integers, st.integers(0, 71), st.integers(0, 255))
def test_der_with_one_other_octet_is_read_as_another_library_reads_it(r: int, s: int, at: int, octet: int) -> None:
    der = bytearray(encode_dss_signature(r, s))
    der[at % len(der)] = octet

    try:
        theirs = decode_dss_signature(bytes(der))
    except ValueError:
        reject()  # what is not DER is garbage, as above
    raw = _raw_or_value_error(bytes(der))

    assert (raw and _integers(raw)) == (theirs if all(0 < each < 2**256 for each in theirs) else None)


@given(integers, integers, st.binary(min_size=1, max_size=4))
def test_octets_after_a_der_signature_are_refused(r: int, s: int, more: bytes) -> None:
    with pytest.raises(ValueError, match="DER"):
        jws.raw_signature(encode_dss_signature(r, s) + more, 32)


@pytest.mark.parametrize(
    "der",
    [
        encode_dss_signature(0, 1),
        encode_dss_signature(1, 0),
        encode_dss_signature(2**256, 1),
        bytes.fromhex("30060201ff020101"),  # r = -1
        encode_dss_signature(1, 1)[:-1],
        b"\x31" + encode_dss_signature(1, 1)[1:],
        b"\x30\x07" + encode_dss_signature(1, 1)[2:],  # the sequence says that it is longer
        bytes.fromhex("3006020101020201"),  # the last integer does
        bytes.fromhex("30050200020101"),  # r has no octets
        b"\x30\x81\x02\x3e" + (1).to_bytes(62) + b"\x02\x3f" + (1).to_bytes(63),  # 0x81 announces a length, and is none
    ],
)
def test_a_signature_that_no_p_256_key_makes_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"signature|integer"):
        jws.raw_signature(der, 32)


@pytest.mark.parametrize("key", ring(), ids=lambda key: key.alg)
def test_a_token_signed_by_kms_verifies_in_another_library(key: SigningKey) -> None:
    octets = jws.signing_input({"alg": key.alg, "kid": key.kid}, {"iss": "https://idp.example", "events": {}})

    token = jws.serialize(octets, signer().sign(key, octets))

    assert verified(token).header == {"alg": key.alg, "kid": key.kid}
    assert verified(token).claims == {"iss": "https://idp.example", "events": {}}


@pytest.mark.parametrize("key", ring(), ids=lambda key: key.alg)
def test_a_token_with_other_claims_does_not_verify(key: SigningKey) -> None:
    header = {"alg": key.alg, "kid": key.kid}
    signed = jws.signing_input(header, {"sub": "ada"})

    token = jws.serialize(jws.signing_input(header, {"sub": "eve"}), signer().sign(key, signed))

    with pytest.raises(BadSignatureError):
        verified(token)


def _raw_or_value_error(der: bytes) -> bytes | None:
    try:
        raw = jws.raw_signature(der, 32)
    except ValueError:
        return None
    assert len(raw) == 64
    return raw


def _integers(raw: bytes) -> tuple[int, int]:
    return int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
