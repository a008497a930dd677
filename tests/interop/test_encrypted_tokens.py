"""Tokens of the deployed service for clients that registered encryption, decrypted and verified by npm jose."""

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.support.provider import Provider
from tests.support.unspeakable import new_id

from .processes import running

type Json = dict[str, Any]


@pytest.fixture(scope="module")
def relying_parties(idp: Provider) -> Iterator[Json]:
    """Run a relying party for each alg, kind of key and enc; every other one has its keys at a ``jwks_uri``."""
    config = {"issuer": idp.issuer, "jwks_url": f"{idp.stack.api_url}{idp.path}/jwks.json"}
    with running("encrypted_rp.mjs", config) as ready:
        for number, client in enumerate(ready["clients"]):
            url = f"{ready['url']}/{client['client_id']}"
            keys = {"jwks_uri": f"{url}/jwks.json"} if number % 2 else {"jwks": client["jwks"]}
            idp.register_client(
                url,
                client["client_id"],
                id_token_encrypted_response_alg=client["alg"],
                id_token_encrypted_response_enc=client["enc"],
                **keys,
            )
        yield ready


@pytest.fixture(scope="module")
def received(idp: Provider, relying_parties: Json) -> dict[str, Json]:
    """End a session of a user at all of them, and return what each was sent."""
    sub, sid = new_id("sub"), new_id("sid")
    clients = [client["client_id"] for client in relying_parties["clients"]]
    for client_id in clients:
        idp.start(client_id, sub=sub, sid=sid)

    logout = idp.end_session(sid)

    idp.wait_until(logout, *["accepted"] * len(clients), seconds=60)
    answer = urllib3.request("GET", f"{relying_parties['url']}/received", timeout=20.0, retries=False)
    assert len(answer.json()) == len(clients)
    return {each["client_id"]: each for each in answer.json()}


def test_npm_jose_decrypts_and_verifies_a_token_of_every_alg_and_enc(
    idp: Provider, relying_parties: Json, received: dict[str, Json]
) -> None:
    for client in relying_parties["clients"]:
        found = received[client["client_id"]]
        header = {name: value for name, value in found["header"].items() if name != "epk"}
        assert header == {
            "alg": client["alg"],
            "enc": client["enc"],
            "cty": "JWT",
            "iss": idp.issuer,
            "kid": client["jwks"]["keys"][1]["kid"],
        }
        assert found["claims"]["aud"] == client["client_id"]
        assert found["signed_header"]["typ"] == "logout+jwt"


def test_every_alg_and_enc_that_can_be_registered_was_tried(relying_parties: Json) -> None:
    tried = {(client["alg"], client["enc"]) for client in relying_parties["clients"]}

    assert len(tried) == 36
