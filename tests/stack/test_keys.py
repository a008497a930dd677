"""The key ring of a provider as its operator sees it, and tokens of every algorithm as relying parties verify them."""

from typing import Any

import pytest

from backchannel.tokens.jws import ALGORITHMS
from local.client import Response
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import published_keys, verified
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.second


def ask(provider: Provider, method: str, path: str, document: object = None) -> Response:
    return provider.stack.request(method, provider.path + path, document, signed=True)


def a_token(provider: Provider, make: MakeRelyingParty, alg: str) -> str:
    """Return the token that a client with this algorithm is sent."""
    rp, sid = make(), new_id("sid")
    client_id = provider.register_client(rp, id_token_signed_response_alg=alg)
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    provider.wait_until(provider.end_session(sid), "accepted")
    (token,) = rp.tokens
    return token


def test_a_provider_has_no_key_before_a_client_needs_one(provider: Provider) -> None:
    assert provider.ring() == []
    provider.put("/clients/silent", {})

    assert provider.ring() == []


def test_a_key_is_made_for_the_first_client_that_needs_it_and_used_for_all(provider: Provider) -> None:
    first = provider.register_client("https://one.example/logout", id_token_signed_response_alg="ES384")
    (key,) = provider.ring()
    second = provider.register_client("https://two.example/logout", id_token_signed_response_alg="ES384")

    (shown,) = provider.ring()

    assert (key["alg"], key["state"], key["clients"], key["until"], key["is_own"]) == ("ES384", "signing", [first], None, False)
    assert (shown["kid"], sorted(shown["clients"])) == (key["kid"], sorted([first, second]))


@pytest.mark.parametrize("alg", ["none", "HS256", "HS512", "ES256K", "rs256"])
def test_an_algorithm_that_no_key_serves_is_refused_and_costs_no_key(provider: Provider, alg: str) -> None:
    client = {"backchannel_logout_uri": "https://rp.example/logout", "id_token_signed_response_alg": alg}

    response = ask(provider, "PUT", "/clients/wiki", client)

    assert (response.status, response.body["code"]) == (400, "registration_invalid")
    assert "id_token_signed_response_alg" in response.body["detail"]
    assert provider.ring() == []


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_of_each_algorithm_verifies_by_the_served_keys(
    shared_provider: Provider, relying_party: MakeRelyingParty, alg: str
) -> None:
    token = a_token(shared_provider, relying_party, alg)

    (key,) = shared_provider.ring(alg=alg)

    assert verified(shared_provider, token, alg).header == {"typ": "logout+jwt", "alg": alg, "kid": key["kid"]}
    assert [each.as_dict()["alg"] for each in published_keys(shared_provider).keys if each.kid == key["kid"]] == [alg]


def test_a_normal_rotation_publishes_the_next_key_and_repeated_adds_no_other(provider: Provider) -> None:
    provider.register_client("https://rp.example/logout", id_token_signed_response_alg="ES256")
    (before,) = provider.ring()

    begun = ask(provider, "POST", "/keys/rotation", {})
    repeated = ask(provider, "POST", "/keys/rotation", {"alg": "ES256"})

    assert (begun.status, repeated.status) == (202, 202)
    assert begun.body == repeated.body
    old, new = begun.body["keys"]
    assert (old["kid"], old["state"], new["state"], new["clients"]) == (before["kid"], "signing", "published", [])
    assert new["since"] < new["until"]
    assert {key.kid for key in published_keys(provider).keys} >= {old["kid"]}


def test_an_emergency_says_what_it_costs_and_asks_before_it_withdraws_a_key(provider: Provider, aws: Aws) -> None:
    provider.register_client("https://rp.example/logout", id_token_signed_response_alg="ES256")
    (key,) = provider.ring()

    asked = ask(provider, "POST", "/keys/rotation", {"kid": key["kid"]})
    unchanged = provider.ring()
    done = ask(provider, "POST", "/keys/rotation", {"kid": key["kid"], "emergency": True})
    repeated = ask(provider, "POST", "/keys/rotation", {"kid": key["kid"], "emergency": True})

    assert (asked.status, asked.body["code"]) == (400, "emergency_unconfirmed")
    assert "clients with ES256 (1 of them)" in asked.body["detail"]
    assert '"emergency": true' in asked.body["detail"]
    assert unchanged == [key]
    assert (done.status, repeated.body) == (202, done.body)
    assert [(each["kid"] == key["kid"], each["state"]) for each in done.body["keys"]] == [(True, "deleted"), (False, "signing")]
    assert aws.client("kms").describe_key(KeyId=key["kms_key_arn"])["KeyMetadata"]["KeyState"] == "PendingDeletion"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"kid": "nobody's", "emergency": True}, 404, "not_found"),
        ({"emergency": True}, 400, "emergency_unconfirmed"),
        ({"alg": "ES256K"}, 404, "not_found"),
        ({"algs": ["RS256"]}, 400, "malformed_request"),
    ],
)
def test_a_rotation_that_cannot_be_carried_out_says_why(
    shared_provider: Provider, request_: dict[str, Any], status: int, code: str
) -> None:
    response = ask(shared_provider, "POST", "/keys/rotation", request_)

    assert (response.status, response.body["code"]) == (status, code)
