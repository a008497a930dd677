"""The checks can fail: each refuses what it is there to refuse. They need no stack."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from .conformance import EVENT, JWKS_CHECKS, LOGOUT_REQUEST_CHECKS, Evidence

ISSUER = "https://op.example"
CLIENT_ID = "client"
ID_TOKEN = {"sub": "alice", "sid": "session"}
KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
STRANGER = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": str(KEY.kid)})
JWK = KEY.as_dict(private=False)
NOW = 1_800_000_000
REFUSALS = (AssertionError, KeyError, JoseError)


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims with changes; a claim of None is left out."""
    good = {"iss": ISSUER, "aud": CLIENT_ID, "iat": NOW, "exp": NOW + 120, "jti": "1", "events": {EVENT: {}}} | ID_TOKEN
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(payload: Mapping[str, Any], key: RSAKey = KEY, kid: str | None = KEY.kid) -> str:
    """Sign a token; a kid of None is left out."""
    header = {"alg": "RS256", "typ": "logout+jwt"} | ({"kid": kid} if kid else {})
    return jwt.encode(header, dict(payload), key)


def evidence(form: Mapping[str, str], *keys: Mapping[str, Any]) -> Evidence:
    """Return a request with this form, beside a JWKS of these keys or else the signing key's."""
    body = urlencode(form).encode("ascii")
    return Evidence(body, ISSUER, CLIENT_ID, ID_TOKEN, {"keys": list(keys or [JWK])}, received_at=NOW)


@pytest.mark.parametrize("name", LOGOUT_REQUEST_CHECKS)
@pytest.mark.parametrize("changes", [{}, {"sub": None}, {"sid": None}, {"aud": [CLIENT_ID]}], ids=str)
def test_a_good_token_passes_every_check(name: str, changes: dict[str, Any]) -> None:
    LOGOUT_REQUEST_CHECKS[name](evidence({"logout_token": token(claims(**changes))}))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ValidateLogoutTokenClaims", {"iss": "https://op.example/"}),
        ("ValidateLogoutTokenClaims", {"aud": "another"}),
        ("ValidateLogoutTokenClaims", {"aud": None}),
        ("ValidateLogoutTokenClaims", {"iat": None}),
        ("ValidateLogoutTokenClaims", {"iat": NOW + 301}),
        ("ValidateLogoutTokenClaims", {"iat": NOW - 86_401}),
        ("ValidateLogoutTokenClaims", {"jti": None}),
        ("ValidateLogoutTokenClaims", {"events": None}),
        ("ValidateLogoutTokenClaims", {"events": [EVENT]}),
        ("ValidateLogoutTokenClaims", {"events": {EVENT: {"more": 1}}}),
        ("ValidateLogoutTokenClaims", {"events": {EVENT: {}, "https://op.example/other": {}}}),
        ("CheckIdTokenSubMatchesLogoutToken", {"sub": "bob"}),
        ("CheckIdTokenSidMatchesLogoutToken", {"sid": "another"}),
        ("CheckLogoutTokenNoNonce", {"nonce": "n"}),
        ("CheckLogoutTokenHasSubOrSid", {"sub": None, "sid": None}),
    ],
    ids=str,
)
def test_a_token_with_wrong_claims_fails_its_check(name: str, changes: dict[str, Any]) -> None:
    wrong = evidence({"logout_token": token(claims(**changes))})

    with pytest.raises(REFUSALS):
        LOGOUT_REQUEST_CHECKS[name](wrong)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("ExtractLogoutTokenFromBackchannelLogoutRequest", {"token": token(claims())}),
        ("ExtractLogoutTokenFromBackchannelLogoutRequest", {"logout_token": "not.a token"}),
        ("CheckForUnexpectedParametersInBackchannelLogoutRequest", {"logout_token": token(claims()), "more": "1"}),
    ],
)
def test_a_request_with_a_wrong_form_fails_its_check(name: str, form: dict[str, str]) -> None:
    wrong = evidence(form)

    with pytest.raises(REFUSALS):
        LOGOUT_REQUEST_CHECKS[name](wrong)


@pytest.mark.parametrize(
    ("signed", "keys"),
    [
        pytest.param(token(claims(), STRANGER), [JWK], id="a stranger's signature"),
        pytest.param(token(claims(), kid="unknown"), [JWK], id="an unpublished kid"),
        pytest.param(token(claims()), [JWK, JWK], id="two keys that fit"),
        pytest.param(token(claims(), kid=None), [JWK, JWK | {"kid": "2"}], id="no kid and two keys"),
        pytest.param(token(claims()), [JWK | {"use": "enc"}], id="a key for encryption"),
        pytest.param(token(claims()), [JWK | {"alg": "PS256"}], id="a key for another algorithm"),
    ],
)
def test_a_token_with_a_wrong_signature_fails_its_check(signed: str, keys: list[dict[str, Any]]) -> None:
    wrong = evidence({"logout_token": signed}, *keys)

    with pytest.raises(REFUSALS):
        LOGOUT_REQUEST_CHECKS["ValidateLogoutTokenSignature"](wrong)


@pytest.mark.parametrize("name", JWKS_CHECKS)
def test_good_keys_pass_every_check(name: str) -> None:
    JWKS_CHECKS[name]({"keys": [JWK, JWK | {"kid": "2"}]})


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        pytest.param("CheckForKeyIdInServerJWKs", [JWK | {"kid": " "}], id="a blank kid"),
        pytest.param("CheckForKeyIdInServerJWKs", [{"kty": "RSA"}], id="no kid"),
        pytest.param("CheckDistinctKeyIdValueInServerJWKs", [JWK, JWK], id="a kid twice"),
        pytest.param("CheckServerKeysIsValid", [{"kty": "RSA", "kid": "1"}], id="a key without a modulus"),
        pytest.param("ValidateJwksSequence", [], id="no keys"),
        pytest.param("ValidateJwksSequence", [JWK | {"n": f"{JWK['n']}=="}], id="padding"),
        pytest.param("ValidateJwksSequence", [KEY.as_dict(private=True)], id="a private key"),
    ],
)
def test_wrong_keys_fail_their_check(name: str, keys: list[dict[str, Any]]) -> None:
    with pytest.raises(REFUSALS):
        JWKS_CHECKS[name]({"keys": keys})
