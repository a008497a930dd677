"""Each token of the check differs from a good one in what it says it does, and in nothing else."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry

from backchannel_cli.receiver_check.case import Case, Expectation
from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.good_cases import GOOD
from backchannel_cli.receiver_check.keys import KINDS, kid, public
from tests.interop.conformance import EVENT, JWKS_CHECKS, LOGOUT_REQUEST_CHECKS, Evidence
from tests.unit.cli.receivers import CLIENT_ID, ISSUER, NOW, USER, keys, mint

type Json = dict[str, Any]

BY_NAME = {case.name: case for case in CASES}
STRANGER = kid(keys().stranger)
IAT = NOW - 2
GOOD_CLAIMS = {"iss": ISSUER, "aud": CLIENT_ID, "iat": IAT, "exp": IAT + 120, "jti": "jti-0", "events": {EVENT: {}}, **USER}
GOOD_HEADER = {"alg": "RS256", "typ": "logout+jwt", "kid": kid(keys().signing)}

CHANGED_CLAIMS: Mapping[str, Mapping[str, Any]] = {
    "good": {},
    "replayed": {},
    "good-logged-out-already": {},
    "good-sid-alone": {"sub": None},
    "good-sub-alone": {"sid": None},
    "good-aud-list": {"aud": [CLIENT_ID]},
    "good-unknown-claim": {"receiver-check": "to be ignored"},
    "good-unknown-parameter": {},
    "other-iss": {"iss": ISSUER + "INVALID"},
    "no-iss": {"iss": None},
    "other-aud": {"aud": CLIENT_ID + "INVALID"},
    "no-aud": {"aud": None},
    "more-aud": {"aud": [CLIENT_ID, "somebody-else"]},
    "expired": {"iat": NOW - 3600, "exp": NOW - 3480},
    "no-exp": {"exp": None},
    "no-iat": {"iat": None},
    "iat-in-the-future": {"iat": NOW + 86_400, "exp": NOW + 86_520},
    "iat-a-day-ago": {"iat": NOW - 86_400},
    "no-events": {"events": None},
    "other-event": {"events": {"http://schemas.openid.net/event/something-else": {}}},
    "events-no-object": {"events": [EVENT]},
    "event-no-object": {"events": {EVENT: "yes"}},
    "nonce": {"nonce": "receiver-check"},
    "no-sub-no-sid": {"sub": None, "sid": None},
    "no-jti": {"jti": None},
}
"""Signed by the issuer under a good header; a claim of None is missing."""

CHANGED_HEADERS: Mapping[str, Mapping[str, Any]] = {
    "good-without-typ": {"typ": None},
    "good-typ-jwt": {"typ": "JWT"},
    "signed-by-a-stranger": {},
    "unknown-kid": {"kid": STRANGER},
    "key-in-header": {"kid": STRANGER, "jwk": public(keys().stranger, "RS256")},
    "key-by-address": {"kid": STRANGER, "jku": f"{ISSUER}/other-keys.json"},
    "other-algorithm": {"alg": "ES256", "kid": kid(keys().other)},
    "unknown-crit": {"crit": ["receiver_check"], "receiver_check": True},
    "other-typ": {"typ": "at+jwt"},
    "alg-none": {"alg": "none", "kid": None},
    "alg-none-spelled-otherwise": {"alg": "nOnE", "kid": None},
    "hmac-with-public-key": {"alg": "HS256"},
    "signature-removed": {},
}
"""Over good claims; a parameter of None is missing."""

OTHERS = {"no-jwt", "no-token", "claims-altered", "id-token"}


def test_every_case_is_looked_at_here() -> None:
    assert set(BY_NAME) == set(CHANGED_CLAIMS) | set(CHANGED_HEADERS) | OTHERS
    assert len(BY_NAME) == len(CASES)


@pytest.mark.parametrize("name", CHANGED_CLAIMS)
def test_a_token_of_the_issuer_has_good_claims_but_for_what_its_name_says(name: str) -> None:
    header, claims, signed, signature = parts(form(BY_NAME[name])["logout_token"])

    assert header == GOOD_HEADER
    assert claims == changed(GOOD_CLAIMS, CHANGED_CLAIMS[name])
    assert verifies(public(keys().signing, "RS256"), signed, signature)


@pytest.mark.parametrize("name", CHANGED_HEADERS)
def test_a_token_with_another_header_has_good_claims(name: str) -> None:
    header, claims, _, _ = parts(form(BY_NAME[name])["logout_token"])

    assert header == changed(GOOD_HEADER, CHANGED_HEADERS[name])
    assert claims == GOOD_CLAIMS


@pytest.mark.parametrize("name", ["signed-by-a-stranger", "unknown-kid", "key-in-header", "key-by-address"])
def test_a_strangers_signature_is_right_but_by_no_key_of_the_issuer(name: str) -> None:
    _, _, signed, signature = parts(form(BY_NAME[name])["logout_token"])

    assert verifies(public(keys().stranger, "RS256"), signed, signature)
    assert not verifies(public(keys().signing, "RS256"), signed, signature)


@pytest.mark.parametrize("name", ["unknown-crit", "other-typ", "good-without-typ", "good-typ-jwt"])
def test_a_header_that_is_wrong_by_itself_is_signed_by_the_issuer(name: str) -> None:
    _, _, signed, signature = parts(form(BY_NAME[name])["logout_token"])

    assert verifies(public(keys().signing, "RS256"), signed, signature)


def test_the_token_of_another_algorithm_is_signed_by_a_published_key() -> None:
    _, _, signed, signature = parts(form(BY_NAME["other-algorithm"])["logout_token"])

    assert verifies(public(keys().other, "ES256"), signed, signature)


@pytest.mark.parametrize("name", ["alg-none", "alg-none-spelled-otherwise", "signature-removed"])
def test_an_unsigned_token_has_an_empty_signature(name: str) -> None:
    _, _, _, signature = parts(form(BY_NAME[name])["logout_token"])

    assert signature == b""


def test_altered_claims_keep_the_signature_of_others() -> None:
    header, claims, signed, signature = parts(form(BY_NAME["claims-altered"])["logout_token"])

    assert header == GOOD_HEADER
    assert claims == GOOD_CLAIMS | {"jti": "jti-1"}
    assert signature
    assert not verifies(public(keys().signing, "RS256"), signed, signature)


def test_key_confusion_takes_the_published_key_for_a_secret() -> None:
    _, _, signed, signature = parts(form(BY_NAME["hmac-with-public-key"])["logout_token"])

    pem = JWKRegistry.import_key(public(keys().signing, "RS256")).as_pem(private=False)  # type: ignore[union-attr] # RSA
    assert hmac.digest(pem, signed, hashlib.sha256) == signature


def test_the_id_token_is_one_and_no_logout_token() -> None:
    header, claims, signed, signature = parts(form(BY_NAME["id-token"])["logout_token"])

    assert header == GOOD_HEADER | {"typ": "JWT"}
    assert claims.keys() == {"iss", "aud", "iat", "exp", "auth_time", "sub", "sid", "nonce"}
    assert verifies(public(keys().signing, "RS256"), signed, signature)


def test_what_is_no_token_is_none() -> None:
    assert form(BY_NAME["no-jwt"]) == {"logout_token": "not-a-token"}
    assert form(BY_NAME["no-token"]) == {"something": "else"}


def test_only_one_good_case_has_a_second_parameter() -> None:
    good = {case.name: form(case) for case in CASES if case.expects is Expectation.ACCEPT}

    assert {name for name, found in good.items() if set(found) != {"logout_token"}} == {"good-unknown-parameter"}


def test_the_replayed_token_is_the_good_one() -> None:
    making = mint()

    assert BY_NAME["replayed"].form(making) == GOOD.form(making)
    assert BY_NAME["good-logged-out-already"].form(making) != GOOD.form(making)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864 would call it by its curve
@pytest.mark.parametrize("check", LOGOUT_REQUEST_CHECKS.values(), ids=LOGOUT_REQUEST_CHECKS)
@pytest.mark.parametrize("alg", KINDS)
def test_the_good_token_passes_the_checks_of_the_conformance_suite(check: Any, alg: str) -> None:
    body = urlencode(GOOD.form(mint(alg))).encode()

    check(Evidence(body, ISSUER, CLIENT_ID, USER, keys(alg).jwks(), received_at=NOW))


@pytest.mark.parametrize("check", JWKS_CHECKS.values(), ids=JWKS_CHECKS)
@pytest.mark.parametrize("alg", KINDS)
def test_the_issuers_keys_pass_the_checks_of_the_conformance_suite(check: Any, alg: str) -> None:
    check(keys(alg).jwks())


def test_the_strangers_key_is_not_published() -> None:
    assert STRANGER not in {key["kid"] for key in keys().jwks()["keys"]}


def test_a_good_token_names_only_the_user_that_was_given() -> None:
    alone = mint(user={"sub": "alice"})

    assert "sid" not in alone.claims()
    assert "sub" not in parts(BY_NAME["good-sid-alone"].form(alone)["logout_token"])[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_says_what_it_means_and_who_requires_it(case: Case) -> None:
    assert case.words.section.startswith(("Back-Channel Logout 2.", "OpenID Connect Core ", "RFC "))
    assert case.words.text.endswith(".")
    assert case.otherwise.endswith(".")
    assert (case.expects is Expectation.ACCEPT) == case.name.startswith("good")


def form(case: Case) -> Mapping[str, str]:
    return case.form(mint())


def parts(token: str) -> tuple[Json, Json, bytes, bytes]:
    head, payload, signature = token.split(".")
    assert "=" not in token
    return json.loads(octets(head)), json.loads(octets(payload)), f"{head}.{payload}".encode(), octets(signature)


def octets(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def changed(good: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def verifies(jwk: Json, signed: bytes, signature: bytes) -> bool:
    algorithm = JWSRegistry(algorithms=[jwk["alg"]]).get_alg(jwk["alg"])
    return bool(algorithm.verify(signed, signature, JWKRegistry.import_key(jwk)))
