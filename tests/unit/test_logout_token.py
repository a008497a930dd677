from dataclasses import replace

import pytest
from hypothesis import strategies as st

from backchannel.deliveries.logout_token import EVENT, claims, header
from backchannel.providers.clients import Client, Typ

ISSUER = "https://idp.example/"
NOW = 1_788_256_800
WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout")
NEEDS_SID = replace(WIKI, backchannel_logout_session_required=True)
SID_ONLY = replace(WIKI, subject="sid_only")
SUB_ONLY = replace(WIKI, subject="sub_only")

known = st.none() | st.text(min_size=1, max_size=8)


def test_the_claims_are_exactly_those_of_the_specification() -> None:
    token = claims(WIKI, issuer=ISSUER, sub="ada", sid="sid-1", jti="jti-1", now=NOW)

    assert token == {
        "iss": ISSUER,  # T1: to the letter
        "aud": "wiki",  # T2: a single value
        "iat": NOW - 2,  # T3: some RPs forgive no clock ahead of theirs
        "exp": NOW - 2 + 120,  # T4, S2: two minutes at the most
        "jti": "jti-1",  # T5
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},  # T6, T7: exactly one member, exactly {}
        "sub": "ada",  # T8, T10
        "sid": "sid-1",  # T8, T11
    }  # T12: no nonce; T13: no other claims


def test_a_client_can_shorten_the_life_of_its_tokens() -> None:
    token = claims(replace(WIKI, exp=30), issuer=ISSUER, sub="ada", sid=None, jti="jti-1", now=NOW)

    assert token["exp"] - token["iat"] == 30


@pytest.mark.parametrize(
    ("sub", "sid", "expected"),
    [("ada", "sid-1", {"sub": "ada", "sid": "sid-1"}), ("ada", None, {"sub": "ada"}), (None, "sid-1", {"sid": "sid-1"})],
)
def test_a_token_names_what_it_is_given(sub: str | None, sid: str | None, expected: dict[str, str]) -> None:
    token = claims(WIKI, issuer=ISSUER, sub=sub, sid=sid, jti="jti-1", now=NOW)

    assert {name: token[name] for name in ("sub", "sid") if name in token} == expected
    assert token["events"] == {EVENT: {}}
    assert "nonce" not in token


@pytest.mark.parametrize(
    ("typ", "expected"),
    [
        ("logout+jwt", {"typ": "logout+jwt", "alg": "PS256", "kid": "kid-1"}),
        ("JWT", {"typ": "JWT", "alg": "PS256", "kid": "kid-1"}),
        (None, {"alg": "PS256", "kid": "kid-1"}),
    ],
)
def test_the_header_has_alg_and_kid_and_the_clients_typ(typ: Typ, expected: dict[str, str]) -> None:
    client = replace(WIKI, typ=typ, id_token_signed_response_alg="PS256")

    assert header(client, "kid-1") == expected


def test_typ_is_logout_jwt_by_default() -> None:
    assert header(WIKI, "kid-1")["typ"] == "logout+jwt"
