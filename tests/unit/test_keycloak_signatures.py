import hashlib
import hmac
import json
import warnings
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, RSAKey

from backchannel.api.requests import SourceMetadata
from backchannel.api.sender_keys import SenderKeys
from backchannel.api.sources import check_settings
from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.tokens.documents import Accept, Document, Documents
from backchannel.tokens.locations import Location, Upstream
from backchannel.webhooks.keycloak_signatures import signed_by_realm, signed_by_secret
from backchannel.webhooks.request import Request, Trust
from tests.unit.fakes import EVENTS
from tests.unit.fakes import trust as with_secrets

BODY = (EVENTS / "keycloak-p2inc-access.LOGOUT.json").read_bytes()
DIGEST = hashlib.sha256(BODY).hexdigest()
ISSUER = "https://kc.example.test/realms/customer"
NOW = 1_788_249_601_000
IAT = NOW // 1000
KEYS: Mapping[str, RSAKey | ECKey] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rs"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "es"}),
}
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": "backchannel",
    "iat": IAT,
    "exp": IAT + 300,
    "jti": "aaaaaaaa-0000-4000-8000-00000000000a",
    "request_body_sha256": DIGEST,
}


class Realm:
    """The realm's JWKS."""

    def get(self, _location: Location, _accept: Accept) -> Document:
        return Document({"keys": [key.as_dict(private=False) for key in KEYS.values()]}, 0)

    renewed = get


def trust(**source: Any) -> Trust:
    provider = Provider("kc", ISSUER, (), upstream=Upstream(jwks_uri=f"{ISSUER}/protocol/openid-connect/certs"))
    configured = Source("kc", "keycloak-jwt", None, **{"audience": "backchannel", **source})
    keys = SenderKeys(cast("Documents", Realm()))
    return Trust(
        list,
        lambda token: keys.verified(provider, configured, token),
        configured.token_issuer or provider.issuer,
        configured.audience,
    )


def token(alg: str = "RS256", key: RSAKey | ECKey | OctKey | None = None, typ: str = "JWT", **change: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not ...}
    signer = key or KEYS[alg]
    with warnings.catch_warnings(category=SecurityWarning, action="ignore"):
        return jwt.encode({"alg": alg, "typ": typ, "kid": signer.kid}, claims, signer, algorithms=[alg])


def bearing(text: str, body: bytes = BODY) -> Request:
    return Request(body, {"authorization": f"Bearer {text}"})


@pytest.mark.parametrize("alg", KEYS)
def test_the_realms_jwt_proves_the_body_that_it_names(alg: str) -> None:
    assert signed_by_realm(bearing(token(alg)), trust(), NOW).body == BODY


def test_another_issuer_of_the_realms_tokens_can_be_configured() -> None:
    signed = token(iss="https://localhost/realms/customer")

    assert signed_by_realm(bearing(signed), trust(token_issuer="https://localhost/realms/customer"), NOW).body == BODY
    with pytest.raises(SignatureInvalidError):
        signed_by_realm(bearing(signed), trust(), NOW)


@pytest.mark.parametrize(
    "change",
    [
        *({"iss": "https://kc.example.test/realms/master"}, {"iss": ...}, {"aud": "wiki"}, {"aud": ["wiki"]}, {"aud": ...}),
        *({"exp": IAT}, {"exp": ...}, {"exp": IAT + 3601}, {"iat": IAT + 61}, {"iat": "now"}),
        *({"request_body_sha256": ...}, {"request_body_sha256": 7}, {"request_body_sha256": "é"}),
        *({"request_body_sha256": DIGEST[:-1]}, {"request_body_sha256": hashlib.sha256(BODY + b" ").hexdigest()}),
        *({"typ": "logout+jwt"}, {"typ": "at+jwt"}),
        {"key": RSAKey.generate_key(2048, {"kid": "rs"})},
        {"key": RSAKey.generate_key(2048, {"kid": "stranger"})},
        {"alg": "HS256", "key": OctKey.import_key(json.dumps(KEYS["RS256"].as_dict(private=False)), {"kid": "rs"})},
    ],
)
def test_a_jwt_of_another_realm_audience_time_kind_or_body_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureInvalidError):
        signed_by_realm(bearing(token(**change)), trust(), NOW)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_body_in_which_one_octet_was_altered_is_refused(place: int, change: int) -> None:
    altered = BODY[:place] + bytes([BODY[place] ^ change]) + BODY[place + 1 :]

    with pytest.raises(SignatureInvalidError):
        signed_by_realm(bearing(token("ES256"), altered), trust(), NOW)


@given(st.dictionaries(st.sampled_from(["authorization", "x-keycloak-signature"]), st.text()), st.binary())
def test_no_headers_and_no_body_raise_anything_else(headers: dict[str, str], body: bytes) -> None:
    for header in (headers, {name: f"Bearer {value}" for name, value in headers.items()}):
        with pytest.raises(SignatureInvalidError):
            signed_by_realm(Request(body, header), trust(), NOW)
        with pytest.raises(SignatureInvalidError):
            signed_by_secret(Request(body, header), with_secrets("kc-synthetic"), NOW)


def test_neither_proof_passes_for_the_other() -> None:
    signature = hmac.digest(b"kc-synthetic", BODY, hashlib.sha256).hex()
    by_secret = Request(BODY, {"x-keycloak-signature": signature})

    assert signed_by_secret(by_secret, with_secrets("kc-synthetic"), NOW).body == BODY
    with pytest.raises(SignatureInvalidError):
        signed_by_realm(by_secret, trust(), NOW)
    with pytest.raises(SignatureInvalidError):
        signed_by_secret(bearing(token()), with_secrets("kc-synthetic"), NOW)


def test_a_signature_with_sha_1_is_refused_by_its_name() -> None:
    signature = hmac.digest(b"kc-synthetic", BODY, hashlib.sha1).hex()

    with pytest.raises(SignatureInvalidError, match="HmacSHA1"):
        signed_by_secret(Request(BODY, {"x-keycloak-signature": signature}), with_secrets("kc-synthetic"), NOW)


@pytest.mark.parametrize(("name", "words"), [("HmacSHA1", "HmacSHA1 .* SHA-1"), ("sha1", "sha1 .* SHA-1"), ("MD5", "unknown")])
def test_another_algorithm_is_refused_at_configuration_with_the_one_to_set(name: str, words: str) -> None:
    with pytest.raises(RegistrationInvalidError, match=f"{words}.*HmacSHA256"):
        check_settings(SourceMetadata(format="keycloak", algorithm=name))


def test_the_algorithm_that_is_verified_may_be_named() -> None:
    check_settings(SourceMetadata(format="keycloak", algorithm="HmacSHA256"))
