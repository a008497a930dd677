import base64
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from backchannel.errors import CallerError, RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks.hmac_signatures import TOLERANCE, hex_over_body, standard_webhooks, standard_webhooks_key
from backchannel.webhooks.request import Request
from tests.unit.fakes import EVENTS

# The official vector of Standard Webhooks
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENT = 1_614_265_330
BODY = b'{"test": 2432232314}'
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(SENT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SVIX = {name.replace("webhook-", "svix-"): value for name, value in HEADERS.items()}
OTHER_SECRET = f"whsec_{base64.b64encode(b'other secret of 32 octets, yes!!').decode()}"


def test_the_official_vector_verifies() -> None:
    _verify(HEADERS)


def test_what_the_official_library_signs_verifies() -> None:
    at = datetime.fromtimestamp(SENT, UTC)
    body = '{"type": "session.ended", "data": {"sub": "jürgen"}}'

    signature = Webhook(OTHER_SECRET).sign("msg-2", at, body)

    headers = {"webhook-id": "msg-2", "webhook-timestamp": str(SENT), "webhook-signature": signature}
    _verify(headers, body.encode(), [OTHER_SECRET])


def test_svix_calls_the_same_headers_by_its_own_name() -> None:
    _verify(SVIX)


def test_headers_of_two_families_do_not_complete_each_other() -> None:
    mixed = {**HEADERS, "svix-signature": HEADERS["webhook-signature"]}
    del mixed["webhook-signature"]

    with pytest.raises(SignatureInvalidError):
        _verify(mixed)


@pytest.mark.parametrize(
    "signatures",
    [
        "v1,AAAA {}",
        "{} v1,AAAA",
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== {}",
        " {} ",
    ],
)
def test_one_right_signature_of_several_is_enough(signatures: str) -> None:
    _verify({**HEADERS, "webhook-signature": signatures.format(HEADERS["webhook-signature"])})


wrong = st.binary(min_size=32, max_size=32).map(lambda octets: f"v1,{base64.b64encode(octets).decode()}") | st.sampled_from(
    ["v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==", "v2,AAAA", "v1", "v1,", ""]
)
separators = st.sampled_from([" ", ", ", ",", "  ", " , ", ",\t"])


@given(st.lists(wrong, max_size=4), st.integers(0, 4), st.lists(separators, min_size=5, max_size=5), st.booleans())
def test_signatures_are_read_in_any_order_separated_by_spaces_or_commas(
    others: list[str],
    place: int,
    between: list[str],
    is_signed: bool,  # noqa: FBT001 - drawn
) -> None:
    signatures = [*others[:place], *[HEADERS["webhook-signature"]] * is_signed, *others[place:]]
    header = "".join(f"{each}{separator}" for each, separator in zip(signatures, between, strict=False))

    for value in (header, header.rstrip(", \t")):
        if is_signed:
            _verify({**HEADERS, "webhook-signature": value})
        else:
            with pytest.raises(SignatureInvalidError):
                _verify({**HEADERS, "webhook-signature": value})


@pytest.mark.parametrize("glued", ["{}x", "x{}", "{}.v1,AAAA", "v1,AAAA{}"])
def test_a_signature_with_something_glued_to_it_is_none(glued: str) -> None:
    with pytest.raises(SignatureInvalidError):
        _verify({**HEADERS, "webhook-signature": glued.format(HEADERS["webhook-signature"])})


@pytest.mark.parametrize("secrets", [[SECRET, OTHER_SECRET], [OTHER_SECRET, SECRET]])
def test_both_secrets_are_valid_while_one_replaces_the_other(secrets: list[str]) -> None:
    _verify(HEADERS, secrets=secrets)


@pytest.mark.parametrize("secrets", [[OTHER_SECRET], []])
def test_another_secret_or_none_proves_nothing(secrets: list[str]) -> None:
    with pytest.raises(SignatureInvalidError):
        _verify(HEADERS, secrets=secrets)


@pytest.mark.parametrize("off", [-TOLERANCE, 0, TOLERANCE])
def test_clocks_may_differ_by_the_tolerance_either_way(off: int) -> None:
    _verify(HEADERS, now=(SENT + off) * 1000)


def test_the_last_second_in_which_a_webhook_is_taken_counts_as_a_whole() -> None:
    _verify(HEADERS, now=(SENT + TOLERANCE) * 1000 + 999)


@pytest.mark.parametrize("off", [-TOLERANCE - 1, TOLERANCE + 1, 86_400])
def test_a_replayed_or_postdated_webhook_is_refused(off: int) -> None:
    with pytest.raises(SignatureInvalidError, match="timestamp"):
        _verify(HEADERS, now=(SENT + off) * 1000)


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1614265330.0", "1e9", " 1614265330", "\u0661", "9" * 5000])
def test_a_timestamp_that_is_no_number_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureInvalidError, match="timestamp"):
        _verify({**HEADERS, "webhook-timestamp": timestamp})


@pytest.mark.parametrize("name", HEADERS)
def test_a_missing_header_is_refused(name: str) -> None:
    with pytest.raises(SignatureInvalidError):
        _verify({other: value for other, value in HEADERS.items() if other != name})


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(SENT + 1)},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": HEADERS["webhook-signature"].removeprefix("v1,")},
        {"webhook-signature": HEADERS["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": HEADERS["webhook-signature"].replace("v1,", "v1a,")},
        {"webhook-signature": HEADERS["webhook-signature"].lower()},
        {"webhook-signature": HEADERS["webhook-signature"].rstrip("=")},
        {"webhook-signature": "v1,é"},
    ],
)
def test_what_was_not_signed_like_that_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalidError):
        _verify(HEADERS | change)


def test_the_signature_is_over_the_raw_octets() -> None:
    with pytest.raises(SignatureInvalidError):
        _verify(HEADERS, BODY.replace(b": ", b":"))


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("code_point", [0xD800, 0xDFFF])
def test_half_a_surrogate_pair_in_a_header_is_a_wrong_signature(name: str, code_point: int) -> None:
    half = chr(code_point)

    with pytest.raises(SignatureInvalidError):
        _verify(HEADERS | {name: HEADERS[name] + half})
    with pytest.raises(SignatureInvalidError):
        hex_over_body("x-signature", Request(BODY, {"x-signature": half}), ["a secret"])


def test_an_id_that_is_no_text_is_refused_even_if_it_is_signed() -> None:
    signed = f"\ud800.{SENT}.".encode(errors="surrogatepass") + BODY
    digest = hmac.digest(standard_webhooks_key(SECRET), signed, "sha256")
    signature = f"v1,{base64.b64encode(digest).decode()}"

    with pytest.raises(SignatureInvalidError, match="webhook-id"):
        _verify(HEADERS | {"webhook-id": "\ud800", "webhook-signature": signature})


@given(st.dictionaries(st.sampled_from([*HEADERS, *SVIX, "x"]), st.text(st.characters(exclude_categories=[]))), st.binary())
def test_garbage_is_refused_and_nothing_worse(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(CallerError):
        _verify(headers, body)


@pytest.mark.parametrize("octets", [24, 32, 64])
@pytest.mark.parametrize("prefix", ["whsec_", ""])
def test_a_secret_is_base64_with_or_without_its_prefix(prefix: str, octets: int) -> None:
    key = bytes(range(octets))

    assert standard_webhooks_key(prefix + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_not base64",
        f"whsec_{base64.b64encode(bytes(23)).decode()}",
        f"whsec_{base64.b64encode(bytes(65)).decode()}",
        f"whsec_{base64.b64encode(bytes(32)).decode().rstrip('=')}",
        "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_é",
    ],
)
def test_a_secret_that_could_never_verify_is_refused_at_registration(secret: str) -> None:
    with pytest.raises(RegistrationInvalidError):
        standard_webhooks_key(secret)


# Keycloak's p2-inc listener: identity-providers.md, section 6

KEYCLOAK_BODY = (EVENTS / "keycloak-p2inc-access.LOGOUT.json").read_bytes()
KEYCLOAK_SIGNATURE = "410fbf204165dea459aa48c98052190d1aeb39153e217963b81f1613f51c7d87"
KEYCLOAK_SECRET = "kc-synthetic"


@pytest.mark.parametrize(
    "signature",
    [
        *(KEYCLOAK_SIGNATURE, KEYCLOAK_SIGNATURE.upper(), f"sha256={KEYCLOAK_SIGNATURE}"),
        *(f"{'0' * 64}, {KEYCLOAK_SIGNATURE}", f"{KEYCLOAK_SIGNATURE}, {'0' * 64}", f"{'0' * 64} sha256={KEYCLOAK_SIGNATURE}"),
    ],
)
def test_the_hexadecimal_vector_verifies(signature: str) -> None:
    hex_over_body("x-keycloak-signature", Request(KEYCLOAK_BODY, {"x-keycloak-signature": signature}), [KEYCLOAK_SECRET])


def test_both_hexadecimal_secrets_are_valid_while_one_replaces_the_other() -> None:
    request = Request(KEYCLOAK_BODY, {"x-keycloak-signature": KEYCLOAK_SIGNATURE})

    hex_over_body("x-keycloak-signature", request, ["replacement", KEYCLOAK_SECRET])


@pytest.mark.parametrize(
    ("headers", "body", "secret"),
    [
        ({}, KEYCLOAK_BODY, KEYCLOAK_SECRET),
        ({"x-keycloak-signature": ""}, KEYCLOAK_BODY, KEYCLOAK_SECRET),
        ({"x-keycloak-signature": "é"}, KEYCLOAK_BODY, KEYCLOAK_SECRET),
        ({"x-keycloak-signature": KEYCLOAK_SIGNATURE[:-1]}, KEYCLOAK_BODY, KEYCLOAK_SECRET),
        ({"x-other-signature": KEYCLOAK_SIGNATURE}, KEYCLOAK_BODY, KEYCLOAK_SECRET),
        ({"x-keycloak-signature": KEYCLOAK_SIGNATURE}, KEYCLOAK_BODY + b"\n", KEYCLOAK_SECRET),
        ({"x-keycloak-signature": KEYCLOAK_SIGNATURE}, KEYCLOAK_BODY, "another secret"),
    ],
)
def test_a_wrong_or_missing_hexadecimal_signature_is_refused(headers: dict[str, str], body: bytes, secret: str) -> None:
    with pytest.raises(SignatureInvalidError):
        hex_over_body("x-keycloak-signature", Request(body, headers), [secret])


def test_no_secret_proves_nothing() -> None:
    with pytest.raises(SignatureInvalidError):
        hex_over_body("x-keycloak-signature", Request(b"", {"x-keycloak-signature": ""}), [])


def _verify(headers: dict[str, str], body: bytes = BODY, secrets: list[str] | None = None, now: int = SENT * 1000) -> None:
    standard_webhooks(Request(body, headers), [SECRET] if secrets is None else secrets, now)
