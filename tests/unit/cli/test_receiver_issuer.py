"""The issuer of a check: what it serves, and to whom it leads."""

import json
from base64 import urlsafe_b64decode
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from backchannel_cli.receiver_check.issuer import LOGINS_AT_MOST, Issuer, proves_itself
from tests.unit.cli.receivers import CLIENT_ID, ISSUER, USER, keys, mint

RP = "http://rp.example/callback"
ASKED = {"client_id": CLIENT_ID, "redirect_uri": RP, "state": "s&1", "nonce": "n"}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(mint(), "rp.example")


def test_discovery_names_this_issuer_and_its_keys(issuer: Issuer) -> None:
    document = read(issuer, "/.well-known/openid-configuration")

    assert document["issuer"] == ISSUER
    assert document["jwks_uri"] == f"{ISSUER}/jwks.json"
    assert document["backchannel_logout_supported"] is True
    assert document["backchannel_logout_session_supported"] is True


@pytest.mark.parametrize("path", ["/jwks.json", "/other-keys.json"])
def test_no_private_key_is_served(issuer: Issuer, path: str) -> None:
    for key in read(issuer, path)["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)


def test_what_is_fetched_is_counted(issuer: Issuer) -> None:
    for path in ("/jwks.json", "/jwks.json", "/nothing"):
        issuer.reply("GET", path, {})

    assert issuer.fetched == {"/jwks.json": 2}


def test_a_login_with_a_code_brings_an_id_token_once(issuer: Issuer) -> None:
    status, headers, _ = issuer.reply("GET", "/authorize", {**ASKED, "response_type": "code"})
    query = parse_qs(urlsplit(headers["Location"]).query)

    claims = id_token(issuer.reply("POST", "/token", {"code": query["code"][0]}))

    assert status == HTTPStatus.FOUND
    assert headers["Location"].startswith(f"{RP}?")
    assert query["state"] == ["s&1"]
    assert claims.items() >= {"iss": ISSUER, "aud": CLIENT_ID, "nonce": "n", **USER}.items()
    assert issuer.reply("POST", "/token", {"code": query["code"][0]})[0] == HTTPStatus.BAD_REQUEST


def test_a_login_without_nonce_brings_none(issuer: Issuer) -> None:
    asked = {"client_id": CLIENT_ID, "redirect_uri": RP, "response_type": "code"}
    _, headers, _ = issuer.reply("GET", "/authorize", asked)

    claims = id_token(issuer.reply("POST", "/token", {"code": parse_qs(urlsplit(headers["Location"]).query)["code"][0]}))

    assert "nonce" not in claims


def test_a_login_with_a_form_post_escapes_what_it_is_given(issuer: Issuer) -> None:
    asked = {**ASKED, "response_type": "id_token", "state": '"><script>'}

    _, _, page = issuer.reply("GET", "/authorize", asked)

    assert b'"><script>' not in page.replace(b"</form><script>", b"")
    assert b'name="id_token"' in page


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://elsewhere.example/callback"},
        {"redirect_uri": "javascript://rp.example/%0aalert(1)"},
        {"redirect_uri": "http://rp.example/\r\nSet-Cookie: a=b"},
        {"redirect_uri": "http://[/"},
        {"redirect_uri": ""},
        {"client_id": "another"},
    ],
    ids=str,
)
def test_a_login_leads_to_the_relying_party_and_nowhere_else(issuer: Issuer, changes: dict[str, str]) -> None:
    status, headers, body = issuer.reply("GET", "/authorize", {**ASKED, "response_type": "code", **changes})

    assert (status, dict(headers), body) == (HTTPStatus.BAD_REQUEST, {}, b"")


def test_logins_that_nobody_finishes_are_bounded(issuer: Issuer) -> None:
    statuses = [issuer.reply("GET", "/authorize", {**ASKED, "response_type": "code"})[0] for _ in range(LOGINS_AT_MOST + 1)]

    assert statuses[-2:] == [HTTPStatus.FOUND, HTTPStatus.BAD_REQUEST]


@pytest.mark.parametrize("jwks", [None, [], {}, {"keys": None}, {"keys": [None, "x"]}, {"keys": [{"kid": "another"}]}], ids=str)
def test_another_issuers_keys_are_no_proof(jwks: object) -> None:
    assert not proves_itself(jwks, mint())
    assert proves_itself(keys().jwks(), mint())


def read(issuer: Issuer, path: str) -> dict[str, Any]:
    status, headers, body = issuer.reply("GET", path, {})
    assert (status, headers["Content-Type"]) == (HTTPStatus.OK, "application/json")
    document: dict[str, Any] = json.loads(body)
    return document


def id_token(reply: Any) -> dict[str, Any]:
    _, payload, _ = json.loads(reply[2])["id_token"].split(".")
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=="))
    return claims
