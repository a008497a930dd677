import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks.ed25519_signatures import MOST_SIGNATURES, public_key
from backchannel.webhooks.hmac_signatures import standard_webhooks
from backchannel.webhooks.request import Request

KEY, OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
SENT = 1_788_249_600
BODY = b'{"type": "session.ended"}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def whpk(key: Ed25519PrivateKey) -> str:
    return "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def signature(key: Ed25519PrivateKey, body: bytes = BODY, event_id: str = "msg-1", sent: int = SENT) -> str:
    return "v1a," + base64.b64encode(key.sign(f"{event_id}.{sent}.".encode() + body)).decode()


def verify(
    signatures: str, *secrets: str, body: bytes = BODY, event_id: str = "msg-1", sent: int = SENT, now: int = SENT
) -> None:
    headers = {"webhook-id": event_id, "webhook-timestamp": str(sent), "webhook-signature": signatures}
    standard_webhooks(Request(body, headers), secrets, now * 1000)


@pytest.mark.parametrize("secrets", [[whpk(KEY)], [whpk(OTHER), whpk(KEY)], [SECRET, whpk(KEY)]])
@pytest.mark.parametrize("signatures", ["{}", "v1,AAAA {}", "{}, v1,AAAA", "v1a,AAAA {}", f"{signature(OTHER)} {{}}"])
def test_one_signature_by_one_of_the_keys_is_enough(secrets: list[str], signatures: str) -> None:
    verify(signatures.format(signature(KEY)), *secrets)


@pytest.mark.parametrize(
    "change",
    [{"body": BODY + b" "}, {"event_id": "msg-2"}, {"sent": SENT + 1}, {"now": SENT + 301}, {"now": SENT - 301}],
)
def test_what_was_not_signed_like_that_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(signature(KEY), whpk(KEY), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("secrets", [[], [whpk(OTHER)], [SECRET]])
def test_another_key_proves_nothing(secrets: list[str]) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(signature(KEY), *secrets)


@pytest.mark.parametrize(
    "signatures", [signature(KEY).replace("v1a,", "v1,"), signature(KEY)[:-2], signature(KEY) + "x", "x" + signature(KEY), "v1a,"]
)
def test_a_signature_under_another_name_or_with_something_glued_to_it_is_none(signatures: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(signatures, whpk(KEY))


def test_a_public_key_is_no_secret_for_an_hmac() -> None:
    import hmac  # noqa: PLC0415

    digest = hmac.digest(public_key(whpk(KEY)), f"msg-1.{SENT}.".encode() + BODY, "sha256")

    with pytest.raises(SignatureInvalidError):
        verify(f"v1,{base64.b64encode(digest).decode()}", whpk(KEY))


def test_only_the_first_signatures_of_a_header_are_looked_at() -> None:
    with pytest.raises(SignatureInvalidError):
        verify(" ".join([*[signature(OTHER)] * MOST_SIGNATURES, signature(KEY)]), whpk(KEY))


@given(st.binary(min_size=64, max_size=64).map(lambda octets: "v1a," + base64.b64encode(octets).decode()) | st.text())
def test_garbage_is_refused_and_nothing_worse(signatures: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(signatures, whpk(KEY))


@pytest.mark.parametrize("text", ["whpk_", "whpk_é", "whpk_AAAA", "whpk_" + "A" * 44])
def test_what_is_no_public_key_is_refused_at_registration(text: str) -> None:
    with pytest.raises(RegistrationInvalidError):
        public_key(text)
