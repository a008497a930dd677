"""A KMS key that a provider signs its ID tokens with, used for its logout tokens, too; and what relying parties find."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from backchannel.tokens.public_keys import public_jwk
from local.client import Response
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.unspeakable import new_id
from tests.support.upstream import JWKS, Json, UpstreamServer, new_key


def ask(provider: Provider, method: str, path: str, document: object = None) -> Response:
    return provider.stack.request(method, provider.path + path, document, signed=True)


@pytest.fixture
def upstream(provider: Provider) -> Iterator[UpstreamServer]:
    with UpstreamServer(provider.issuer) as server:
        provider.put("", {"issuer": provider.issuer, "upstream": server.upstream})
        yield server


@pytest.fixture
def kms_key_arn(aws: Aws) -> Iterator[str]:
    """Return a key of the provider's own, which the roles may use as if the stack's parameter named it."""
    made = aws.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    with ExitStack() as permissions:
        permissions.enter_context(aws.with_permission("AdminRole", "kms:GetPublicKey"))
        permissions.enter_context(aws.with_permission("DeliveryRole", "kms:Sign"))
        yield made["KeyMetadata"]["Arn"]


def published_as(aws: Aws, kms_key_arn: str, **members: str) -> Json:
    """Return the provider's key as its JWKS has it."""
    public_key = aws.client("kms").get_public_key(KeyId=kms_key_arn)["PublicKey"]
    return {**public_jwk(public_key), "kid": "2026-own", "use": "sig", **members}


def test_a_logout_token_is_signed_by_the_providers_own_key_under_its_own_kid(
    provider: Provider, upstream: UpstreamServer, kms_key_arn: str, aws: Aws, relying_party: MakeRelyingParty
) -> None:
    upstream.pages[JWKS] = {"keys": [new_key("other"), published_as(aws, kms_key_arn)]}
    rp, sid = relying_party(), new_id("sid")

    put = ask(provider, "PUT", "/keys/ES256", {"kms_key_arn": kms_key_arn})
    client_id = provider.register_client(rp, id_token_signed_response_alg="ES256")
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    provider.wait_until(provider.end_session(sid), "accepted")

    assert put.status == 200, put.body
    assert [(key["kid"], key["is_own"], key["state"]) for key in provider.ring()] == [("2026-own", True, "signing")]
    (token,) = rp.tokens
    assert verified(provider, token, "ES256").header["kid"] == "2026-own"
    (client,) = provider.get("/keys/check")["clients"]
    assert (client["kid"], client["is_found"]) == ("2026-own", True)


def test_a_key_of_the_providers_own_replaces_ours_and_gives_way_to_one_of_ours_again(
    provider: Provider, upstream: UpstreamServer, kms_key_arn: str, aws: Aws
) -> None:
    upstream.pages[JWKS] = {"keys": [published_as(aws, kms_key_arn)]}
    provider.register_client("https://rp.example/logout", id_token_signed_response_alg="ES256")

    put = ask(provider, "PUT", "/keys/ES256", {"kms_key_arn": kms_key_arn})
    rotated = ask(provider, "POST", "/keys/rotation", {"alg": "ES256"})
    deleted = ask(provider, "DELETE", "/keys/ES256")
    deleted_again = ask(provider, "DELETE", "/keys/ES256")

    assert [(key["is_own"], key["state"]) for key in put.body["keys"]] == [(False, "retired"), (True, "signing")]
    assert (rotated.status, rotated.body["code"]) == (409, "conflict")
    assert deleted.status == 202
    assert [(key["is_own"], key["state"]) for key in deleted.body["keys"]] == [
        (False, "retired"),
        (True, "signing"),
        (False, "published"),
    ]
    assert deleted_again.body == deleted.body


def test_a_key_of_the_providers_own_is_used_for_one_algorithm(
    provider: Provider, upstream: UpstreamServer, kms_key_arn: str, aws: Aws
) -> None:
    rsa = aws.client("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    upstream.pages[JWKS] = {"keys": [published_as(aws, rsa), published_as(aws, kms_key_arn)]}

    put = ask(provider, "PUT", "/keys/RS256", {"kms_key_arn": rsa})
    again = ask(provider, "PUT", "/keys/RS256", {"kms_key_arn": rsa})
    other_alg = ask(provider, "PUT", "/keys/PS256", {"kms_key_arn": rsa})
    same_kid = ask(provider, "PUT", "/keys/ES256", {"kms_key_arn": kms_key_arn})

    assert (put.status, again.status) == (200, 200)
    assert [(each.status, each.body["code"]) for each in (other_alg, same_kid)] == [(409, "conflict")] * 2
    assert [(key["kid"], key["alg"], key["state"]) for key in provider.ring()] == [("2026-own", "RS256", "signing")]


def refusal(response: Response) -> str:
    assert (response.status, response.body["code"]) == (400, "registration_invalid"), response.body
    detail: str = response.body["detail"]
    return detail


@pytest.mark.parametrize("members", [{"use": "enc"}, {"alg": "ES384"}, {"kid": ""}], ids=str)
def test_a_key_that_relying_parties_would_not_find_is_refused(
    provider: Provider, upstream: UpstreamServer, kms_key_arn: str, aws: Aws, members: dict[str, str]
) -> None:
    upstream.pages[JWKS] = {"keys": [new_key("other"), published_as(aws, kms_key_arn, **members)]}

    assert "has no such key" in refusal(ask(provider, "PUT", "/keys/ES256", {"kms_key_arn": kms_key_arn}))
    assert provider.ring() == []


def test_a_key_of_another_kind_is_refused(provider: Provider, upstream: UpstreamServer, kms_key_arn: str) -> None:
    assert upstream.pages
    assert "ECC_NIST_P256, which cannot sign RS256" in refusal(ask(provider, "PUT", "/keys/RS256", {"kms_key_arn": kms_key_arn}))


def test_a_key_that_delivery_may_not_sign_with_is_refused(provider: Provider, upstream: UpstreamServer, aws: Aws) -> None:
    arn = aws.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    upstream.pages[JWKS] = {"keys": [published_as(aws, arn)]}

    unseen = refusal(ask(provider, "PUT", "/keys/ES256", {"kms_key_arn": arn}))
    with aws.with_permission("AdminRole", "kms:GetPublicKey"):
        unsigned = refusal(ask(provider, "PUT", "/keys/ES256", {"kms_key_arn": arn}))

    assert "kms:GetPublicKey" in unseen
    assert "kms:Sign" in unsigned
    assert "AccessDeniedException" in unsigned


@pytest.mark.parametrize("arn", ["alias/key", "arn:aws:kms:eu-central-1:000000000000:alias/key", "arn:aws:s3:::bucket", ""])
def test_what_is_not_the_arn_of_a_key_is_refused(shared_provider: Provider, arn: str) -> None:
    response = ask(shared_provider, "PUT", "/keys/ES256", {"kms_key_arn": arn})

    assert (response.status, response.body["code"]) == (400, "malformed_request")


def test_the_check_says_which_keys_relying_parties_find_in_the_providers_jwks(
    provider: Provider, upstream: UpstreamServer
) -> None:
    for alg in ("RS256", "ES256"):
        provider.register_client("https://rp.example/logout", f"client-{alg}", id_token_signed_response_alg=alg)
    keys = provider.stack.request("GET", f"{provider.path}/jwks.json").body["keys"]
    added = next(key for key in keys if key["alg"] == "RS256")
    upstream.pages[JWKS] = {"keys": [new_key("theirs"), added]}

    found = provider.get("/keys/check")

    assert (found["jwks_uri"], found["failure"]) == (upstream.url + JWKS, None)
    assert {(key["alg"], key["is_found"]) for key in found["keys"]} == {("RS256", True), ("ES256", False)}
    assert [(client["client_id"], client["is_found"]) for client in found["clients"]] == [
        ("client-ES256", False),
        ("client-RS256", True),
    ]
    assert "merged JWKS" in found["clients"][0]["advice"]


def test_the_check_says_why_the_providers_jwks_could_not_be_read(provider: Provider) -> None:
    provider.register_client("https://rp.example/logout", "wiki")

    found = provider.get("/keys/check")

    assert found["discovery"] == f"{provider.issuer}/.well-known/openid-configuration"
    assert "connect_failed" in found["failure"]
    assert [(client["client_id"], client["is_found"]) for client in found["clients"]] == [("wiki", None)]
