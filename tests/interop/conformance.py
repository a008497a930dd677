"""What the OpenID Foundation's conformance suite checks of a logout token and of a JWKS, as assertions.

One function per check, each named after the suite's class. What the suite only warns of fails here. Left out are the
checks of TLS (everything here is plain HTTP on loopback), of encrypted tokens (these clients registered no encryption),
and of the browser's redirects and the discovery document, which are the provider's.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from joserfc import jws
from joserfc.jwk import JWKRegistry

EVENT = "http://schemas.openid.net/event/backchannel-logout"

_CLOCK_SKEW_S = 5 * 60
_DAY_S = 24 * 60 * 60
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")  # RFC 7515 section 2: no padding
_REQUIRED_MEMBERS = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}
_BASE64URL_MEMBERS = {"n", "e", "x", "y"}
_PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
_KTY_OF_ALG = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One logout request as a relying party got it, and all that it has to be compared with."""

    body: bytes
    issuer: str
    client_id: str
    id_token: Json
    jwks: Json
    received_at: float = field(default_factory=time.time)


def extract_logout_token_from_backchannel_logout_request(evidence: Evidence) -> None:
    header, claims = _parts(evidence)

    assert header
    assert claims


def check_for_unexpected_parameters_in_backchannel_logout_request(evidence: Evidence) -> None:
    assert set(_form(evidence)) == {"logout_token"}


def validate_logout_token_signature(evidence: Evidence) -> None:
    header, _ = _parts(evidence)
    fitting = [key for key in evidence.jwks["keys"] if _fits(key, header)]
    assert len(fitting) == 1, f"{len(fitting)} keys of the JWKS fit {header}"

    jws.deserialize_compact(_token(evidence), JWKRegistry.import_key(fitting[0]), algorithms=[header["alg"]])


def validate_logout_token_claims(evidence: Evidence) -> None:
    _, claims = _parts(evidence)

    assert claims["iss"] == evidence.issuer
    assert evidence.client_id in ([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"])
    assert evidence.received_at - _DAY_S <= claims["iat"] <= evidence.received_at + _CLOCK_SKEW_S
    assert claims["jti"]
    assert claims["events"] == {EVENT: {}}


def check_id_token_sub_matches_logout_token(evidence: Evidence) -> None:
    _, claims = _parts(evidence)

    assert claims.get("sub", evidence.id_token["sub"]) == evidence.id_token["sub"]


def check_id_token_sid_matches_logout_token(evidence: Evidence) -> None:
    _, claims = _parts(evidence)

    assert claims.get("sid", evidence.id_token["sid"]) == evidence.id_token["sid"]


def check_logout_token_no_nonce(evidence: Evidence) -> None:
    _, claims = _parts(evidence)

    assert "nonce" not in claims


def check_logout_token_has_sub_or_sid(evidence: Evidence) -> None:
    _, claims = _parts(evidence)

    assert "sub" in claims or "sid" in claims


def check_for_key_id_in_server_jwks(jwks: Json) -> None:
    assert all(key.get("kid", "").strip() for key in jwks["keys"])


def check_distinct_key_id_value_in_server_jwks(jwks: Json) -> None:
    repeated = [kid for kid, count in Counter(key.get("kid") for key in jwks["keys"]).items() if count > 1]

    assert not repeated


def check_server_keys_is_valid(jwks: Json) -> None:
    for key in jwks["keys"]:
        JWKRegistry.import_key(key)


def validate_jwks_sequence(jwks: Json) -> None:
    assert isinstance(jwks["keys"], list)
    assert jwks["keys"]
    for key in jwks["keys"]:
        assert _REQUIRED_MEMBERS[key["kty"]] <= set(key)
        assert not _PRIVATE_MEMBERS & set(key)
        assert all(_BASE64URL.fullmatch(key[member]) for member in _BASE64URL_MEMBERS & set(key))


LOGOUT_REQUEST_CHECKS: Mapping[str, Callable[[Evidence], None]] = {
    "ExtractLogoutTokenFromBackchannelLogoutRequest": extract_logout_token_from_backchannel_logout_request,
    "CheckForUnexpectedParametersInBackchannelLogoutRequest": (check_for_unexpected_parameters_in_backchannel_logout_request),
    "ValidateLogoutTokenSignature": validate_logout_token_signature,
    "ValidateLogoutTokenClaims": validate_logout_token_claims,
    "CheckIdTokenSubMatchesLogoutToken": check_id_token_sub_matches_logout_token,
    "CheckIdTokenSidMatchesLogoutToken": check_id_token_sid_matches_logout_token,
    "CheckLogoutTokenNoNonce": check_logout_token_no_nonce,
    "CheckLogoutTokenHasSubOrSid": check_logout_token_has_sub_or_sid,
}

JWKS_CHECKS: Mapping[str, Callable[[Json], None]] = {
    "CheckForKeyIdInServerJWKs": check_for_key_id_in_server_jwks,
    "CheckDistinctKeyIdValueInServerJWKs": check_distinct_key_id_value_in_server_jwks,
    "CheckServerKeysIsValid": check_server_keys_is_valid,
    "ValidateJwksSequence": validate_jwks_sequence,
}


def _form(evidence: Evidence) -> dict[str, list[str]]:
    return parse_qs(evidence.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)


def _token(evidence: Evidence) -> str:
    (token,) = _form(evidence)["logout_token"]
    return token


def _parts(evidence: Evidence) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = jws.extract_compact(_token(evidence).encode("ascii"))
    claims: dict[str, Any] = json.loads(parts.payload)
    return parts.headers(), claims


def _fits(key: Json, header: Json) -> bool:
    """Tell whether a key may verify: its kid (if the token names one) and kty have to match, alg and use if present."""
    return all(
        (
            header.get("kid", key.get("kid")) == key.get("kid"),
            key["kty"] == _KTY_OF_ALG[header["alg"][:2]],
            key.get("alg", header["alg"]) == header["alg"],
            key.get("use", "sig") == "sig",
        )
    )
