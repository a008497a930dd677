"""Tokens of the deployed service, one of each algorithm, verified by npm jose with the keys that the service publishes."""

from collections.abc import Iterator
from typing import Any

import pytest

from backchannel.tokens.jws import ALGORITHMS
from tests.support.provider import Provider
from tests.support.relying_party import RelyingParty
from tests.support.unspeakable import new_id

from .processes import running

type Json = dict[str, Any]


@pytest.fixture(scope="module")
def verified(idp: Provider) -> Iterator[Json]:
    """End a session at a client for each algorithm; return the header and claims of what each was sent, as jose reads it."""
    sub, sid = new_id("sub"), new_id("sid")
    with RelyingParty() as rp:
        for alg in ALGORITHMS:
            idp.register_client(rp.uri(f"/{alg}"), alg, id_token_signed_response_alg=alg)
            idp.start(alg, sub=sub, sid=sid)

        idp.wait_until(idp.end_session(sid), *["accepted"] * len(ALGORITHMS), seconds=60)

        tokens = {request.path.removeprefix("/"): request.token for request in rp.requests}
    jwks_url = f"{idp.stack.api_url}{idp.path}/jwks.json"
    with running("verify.mjs", {"issuer": idp.issuer, "jwks_url": jwks_url, "tokens": tokens}) as read:
        yield read


def test_npm_jose_verifies_a_token_of_every_algorithm_by_the_served_keys(idp: Provider, verified: Json) -> None:
    signing = {key["alg"]: key["kid"] for key in idp.ring(state="signing")}

    assert {alg: token["header"] for alg, token in verified.items()} == {
        alg: {"alg": alg, "kid": signing[alg], "typ": "logout+jwt"} for alg in ALGORITHMS
    }
    assert {alg: token["claims"]["aud"] for alg, token in verified.items()} == {alg: alg for alg in ALGORITHMS}
