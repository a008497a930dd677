import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import SignatureInvalidError
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Request
from backchannel.webhooks.timestamped_signatures import LEEWAY, MOST_SIGNATURES, TOLERANCE, verify
from tests.unit.fakes import EVENTS, trust

AT = 1_788_249_600_000
BODY = b'{"event":"session.revoked"}'
HEADER = "zitadel-signature"

VECTORS: dict[str, dict[str, str]] = {
    "zitadel": {
        "sample": "zitadel-session.terminated.json",
        "secret": "zitadel-example",
        "header": "zitadel-signature",
        "value": "t=1788249600,v1=6fca5e902a622c7c804458edc009b91322f6e9dd52391ab30108f638ab014c19",
    },
    "workos": {
        "sample": "workos-session.revoked.json",
        "secret": "workos-example",
        "header": "workos-signature",
        "value": "t=1788249600000, v1=cb2be0ff026630f938b2d6dcf35614b498991515b247f03cd2186fb91fe20228",
    },
}
"""Signatures over the exact octets of a sample, made by another implementation."""


def signature(secret: str, time: int, body: bytes = BODY) -> str:
    return hmac.digest(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hex()


def check(value: str | None, *secrets: str, now: int = AT, body: bytes = BODY) -> None:
    headers = {} if value is None else {HEADER: value}
    assert verify(HEADER, Request(body, headers), trust(*secrets), now, unit=1000).body == body


S = AT // 1000
GOOD = f"t={S},v1={signature('a secret', S)}"


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_other_implementations_verify(name: str) -> None:
    vector = VECTORS[name]
    request = Request((EVENTS / vector["sample"]).read_bytes(), {vector["header"]: vector["value"]})

    proven = FORMATS[name].verify(request, trust(vector["secret"]), AT)

    assert proven.body == request.body


@pytest.mark.parametrize("name", VECTORS)
@given(data=st.data())
def test_a_vector_with_one_octet_altered_is_refused(name: str, data: Any) -> None:
    vector = VECTORS[name]
    body = bytearray((EVENTS / vector["sample"]).read_bytes())
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(SignatureInvalidError):
        FORMATS[name].verify(Request(bytes(body), {vector["header"]: vector["value"]}), trust(vector["secret"]), AT)


def test_neither_sender_s_signature_is_the_other_s() -> None:
    for one, other in (("zitadel", "workos"), ("workos", "zitadel")):
        vector = VECTORS[one]
        request = Request((EVENTS / vector["sample"]).read_bytes(), {VECTORS[other]["header"]: vector["value"]})
        with pytest.raises(SignatureInvalidError):
            FORMATS[other].verify(request, trust(vector["secret"]), AT)


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        GOOD.replace(",", ", "),
        f"t={S},v1={'0' * 64},v1={signature('a secret', S)}",
        f"t={S},v0=else,v1={signature('a secret', S)}",
        f"{GOOD}, {GOOD}",
        f"v1={signature('a secret', S)},t={S}",
    ],
)
def test_one_of_several_signatures_is_enough_also_in_joined_headers(value: str) -> None:
    check(value, "a secret")


@pytest.mark.parametrize("secrets", [("a secret", "the next"), ("the next", "a secret")])
def test_while_a_secret_is_replaced_both_are_valid(secrets: tuple[str, str]) -> None:
    check(GOOD, *secrets)


@pytest.mark.parametrize("difference", [-TOLERANCE, 0, LEEWAY])
def test_a_signature_s_time_may_differ_a_little_from_ours(difference: int) -> None:
    time = (AT + difference) // 1000

    check(f"t={time},v1={signature('a secret', time)}", "a secret")


@pytest.mark.parametrize("difference", [-TOLERANCE - 1000, LEEWAY + 1000, -(10**12), 10**15])
def test_an_old_signature_and_one_from_the_future_are_refused(difference: int) -> None:
    time = (AT + difference) // 1000

    with pytest.raises(SignatureInvalidError, match="too far from now"):
        check(f"t={time},v1={signature('a secret', time)}", "a secret")


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", ",", "t=", "v1=", f"t={S}", f"v1={signature('a secret', S)}", f"t={S},v1={'0' * 64}"),
        *(
            f"t={S},v1={signature('another', S)}",
            f"t={S},v2={signature('a secret', S)}",
            f"t={S},v1={signature('a secret', S)[:-1]}",
        ),
        f"t={S - 1},v1={signature('a secret', S)}",
        f"t={S},t={S - 1},v1={signature('a secret', S)}",
        f"t=+{S},v1={signature('a secret', S)}",
        f"t={S}" + f",v1={'0' * 64}" * MOST_SIGNATURES + f",v1={signature('a secret', S)}",
    ],
)
def test_what_lacks_a_time_or_its_signature_is_refused(value: str | None) -> None:
    with pytest.raises(SignatureInvalidError):
        check(value, "a secret")


def test_without_a_secret_nothing_is_proven() -> None:
    with pytest.raises(SignatureInvalidError):
        check(f"t={S},v1={signature('', S)}")


@given(st.text(), st.binary())
def test_no_header_and_no_body_raise_anything_else(value: str, body: bytes) -> None:
    with pytest.raises(SignatureInvalidError):
        check(value, "a secret", body=body)
