"""What of a verified logout token is accepted (Back-Channel Logout 1.0, section 2.6), and what follows from it."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import CallerError
from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded
from backchannel.webhooks.logout_tokens import EVENT, LogoutTokenClaims, read, token_in, verify
from backchannel.webhooks.request import Request, Trust, is_form
from tests.support.json_values import json_values

NOW = 1_788_249_610_000
IAT = 1_788_249_600
ISSUER = "https://idp.example.test/"
EVENTS = Path(__file__).resolve().parents[2] / "events"
CLAIMS: dict[str, Any] = {
    "iss": "https://idp.example.test/",
    "sub": "ada",
    "aud": "wiki",
    "iat": IAT,
    "exp": IAT + 120,
    "jti": "lt-0001",
    "events": {EVENT: {}},
    "sid": "sid-0001",
}


def _check(claims: dict[str, Any], typ: str | None, now: int = NOW, **rules: Any) -> LogoutTokenClaims:
    """Verify a token that the provider has signed."""
    form = Request(b"logout_token=a.b.c", {"content-type": "application/x-www-form-urlencoded"})
    trust = Trust(secrets=list, verified_jwt=lambda _: (typ, claims), **{"issuer": ISSUER, **rules})
    return read(json.loads(verify(form, trust, now).body), trust.issuer, now)


def _without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in CLAIMS.items() if name not in names}


def test_a_logout_token_ends_its_session_for_all_clients() -> None:
    claims = _check(CLAIMS, "logout+jwt")

    assert claims.end("wiki", NOW, "report") == SessionEnded("sid-0001", IAT * 1000 + 999, "lt-0001")
    assert claims.end("wiki", NOW, "end_subject") == SessionEnded("sid-0001", IAT * 1000 + 999, "lt-0001", unmatched_sub="ada")


def test_a_token_without_sid_ends_the_subject_s_sessions_at_its_client_alone() -> None:
    claims = _check(_without("sid"), "JWT")

    assert claims.end("wiki", NOW, "report") == SubjectSessionsEnded("ada", IAT * 1000 + 999, "lt-0001", "wiki")


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "LOGOUT+JWT", "JWT", None])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"aud": ["wiki"]},
        {"aud": ["other", "wiki"]},
        {"trace_id": "x"},
        {"exp": IAT + 3600},
        {"iat": IAT + 300},
        {"iat": IAT + 0.5},
        {"exp": IAT - 40, "iat": IAT - 160},
        {"iat": IAT + 200, "exp": IAT + 3800},  # a clock that is ahead, and a life of an hour
    ],
)
def test_what_providers_send_is_accepted(typ: str | None, changed: dict[str, Any]) -> None:
    assert "wiki" in _check({**CLAIMS, **changed}, typ).audience


@pytest.mark.parametrize(
    "claims",
    [
        {**CLAIMS, "iss": "https://idp.example.test"},
        _without("iss"),
        {**CLAIMS, "nonce": "n"},
        {**CLAIMS, "nonce": None},
        _without("events"),
        {**CLAIMS, "events": {}},
        {**CLAIMS, "events": {EVENT: None}},
        {**CLAIMS, "events": {EVENT: {}, "another": {}}},
        {**CLAIMS, "events": {"http://schemas.openid.net/event/other": {}}},
        {**CLAIMS, "events": [EVENT]},
        _without("aud"),
        {**CLAIMS, "aud": []},
        {**CLAIMS, "aud": [7]},
        {**CLAIMS, "aud": ["wiki"] * 21},
        _without("jti"),
        _without("iat"),
        {**CLAIMS, "iat": IAT + 400},
        {**CLAIMS, "iat": str(IAT)},
        {**CLAIMS, "iat": True},
        {**CLAIMS, "iat": IAT * 1000},
        _without("exp"),
        {**CLAIMS, "exp": IAT - 51, "iat": IAT - 170},
        {**CLAIMS, "exp": IAT + 3661},
        {**CLAIMS, "exp": float("nan")},
        {**CLAIMS, "exp": 1e400},
        {**CLAIMS, "exp": 10**400},
        {**CLAIMS, "iat": -(10**400)},
        _without("sub", "sid"),
        {**CLAIMS, "sid": 7},
        {**CLAIMS, "sid": ""},
        {**CLAIMS, "sub": ["ada"]},
        {**CLAIMS, "sid": "sid\x00"},
        {**CLAIMS, "aud": "wiki\x00"},
    ],
)
def test_what_is_no_logout_token_of_this_provider_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        _check(claims, "logout+jwt")


@pytest.mark.parametrize("typ", ["secevent+jwt", "at+jwt", "", "logout", "dpop+jwt"])
def test_another_kind_of_token_is_refused(typ: str) -> None:
    with pytest.raises(CallerError):
        _check(CLAIMS, typ)


def test_a_missing_exp_is_tolerated_where_the_source_says_so_until_the_token_is_too_old() -> None:
    assert _check(_without("exp"), None, tolerate_missing_exp=True, max_lifetime=600).expires_at is None
    with pytest.raises(CallerError):
        _check(_without("exp"), None, NOW + 660_000, tolerate_missing_exp=True, max_lifetime=600)


def test_the_tokens_of_a_client_that_stands_for_all_must_name_it() -> None:
    assert _check({**CLAIMS, "aud": ["wiki", "hub"]}, None, audience="hub").audience == ("wiki", "hub")
    with pytest.raises(CallerError):
        _check(CLAIMS, None, audience="hub")


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nonce"]), json_values))
def test_no_claims_make_the_check_raise_anything_but_its_own_errors(changed: dict[str, Any]) -> None:
    try:
        _check({**CLAIMS, **changed}, None)
    except CallerError as error:
        assert error.code  # noqa: PT017 - either is right


@given(st.binary() | st.text().map(lambda text: urlencode({"logout_token": text}).encode()))
def test_no_body_makes_the_form_raise_anything_but_its_own_errors(body: bytes) -> None:
    try:
        token_in(Request(body, {}))
    except CallerError as error:
        assert error.code  # noqa: PT017 - either is right


def test_other_parameters_are_ignored_and_a_second_token_is_refused() -> None:
    assert token_in(Request(b"state=1&logout_token=a.b.c", {})) == "a.b.c"
    for body in (b"", b"token=a", b"logout_token=a&logout_token=b", b"a=1&" * 30, b"logout_token=a.b.c&a=" + b"%41" * 30_000):
        with pytest.raises(CallerError):
            token_in(Request(body, {}))


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"]
)
def test_a_form_is_known_by_its_media_type(content_type: str) -> None:
    assert is_form(Request(b"", {"content-type": content_type}))
    assert not is_form(Request(b"", {"content-type": "application/json"}))
    assert not is_form(Request(b"", {}))
    assert not is_form(Request(b"logout_token=a.b.c", {"content-type": "application/x-www-form-urlencoded, application/json"}))


@pytest.mark.parametrize("body", [b'{"id": "e1"}', b' \n[{"id": "e1"}]'])
def test_json_that_a_sender_s_library_calls_a_form_is_none(body: bytes) -> None:
    assert not is_form(Request(body, {"content-type": "application/x-www-form-urlencoded"}))


@pytest.mark.parametrize("name", ["authentik-logout-token", "oidc-logout-token-hydra", "oidc-logout-token-inbound"])
def test_the_samples_end_the_session_that_they_name(name: str) -> None:
    sample = json.loads((EVENTS / f"{name}.json").read_text())
    claims = sample.get("claims", sample)
    typ = sample.get("jose_header", {}).get("typ")

    found = _check(claims, typ, issuer=claims["iss"], tolerate_missing_exp="exp" not in claims)

    assert found.audience == ("wiki",)
    assert found.end("wiki", NOW, "report") == SessionEnded(claims["sid"], IAT * 1000 + 999, claims["jti"])
