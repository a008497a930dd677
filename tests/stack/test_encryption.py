"""Clients that registered encryption: their tokens are encrypted, or wait for a key. None of them is ever sent a plain token."""

import time
from collections.abc import Iterator

import pytest

from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import DeliveryRecord
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.delivery_function import Function, delivery_function
from tests.support.encrypting import Jwk, decrypted, private_jwk, private_key, public_jwk
from tests.support.key_server import KeyServer
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.relying_party import Answer, RelyingParty
from tests.support.unspeakable import new_id

pytestmark = [pytest.mark.second, pytest.mark.filterwarnings("ignore:No application metrics to publish")]

RSA_OAEP = {"id_token_encrypted_response_alg": "RSA-OAEP"}
FIRST, SECOND = public_jwk("RSA", kid="first", use="enc"), public_jwk("RSA", 1, kid="second", use="enc")
UNAVAILABLE = "encryption_key_unavailable"


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with KeyServer(FIRST) as server:
        yield server


@pytest.fixture
def function(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    """Start the delivery function in this process; keys are looked up anew for each attempt."""
    for constant in ("documents.FRESH", "documents._LOOK", "document_store.FRESH", "document_store.RETRY"):
        monkeypatch.setattr(f"backchannel.tokens.{constant}", 0)
    monkeypatch.setattr("backchannel.deliveries.outcomes.SECOND_CHANCE", 0)
    with delivery_function(aws, monkeypatch) as function:
        yield function


def log_out(provider: Provider, client_id: str) -> str:
    """End a session of a client, and return the logout's id."""
    sid = new_id("sid")
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    return provider.end_session(sid)


def content(rp: RelyingParty, number: int = 0) -> str:
    """Return what is in the last token, to whoever has this key."""
    return decrypted(rp.tokens[-1], private_key("RSA", number))[1]


def once_more(function: Function, found: DeliveryRecord) -> DeliveryRecord:
    """Feed the function until a delivery was looked at again."""
    function.poll_until(lambda: function.record(found.message).updated_at > found.updated_at)
    return function.record(found.message)


def test_a_registered_key_encrypts_the_token_and_the_published_keys_verify_it(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, jwks={"keys": [FIRST]}, **RSA_OAEP)

    provider.wait_until(log_out(provider, client_id), "accepted")

    header, signed = decrypted(rp.tokens[0], private_key("RSA"))
    assert header == {"alg": "RSA-OAEP", "enc": "A128CBC-HS256", "cty": "JWT", "iss": provider.issuer, "kid": "first"}
    assert verified(provider, signed).claims["aud"] == client_id


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ([], "the set is empty"),
        ([public_jwk("P-256", kid="curved")], "no key fits RSA-OAEP: 'curved' is of another type"),
        ([FIRST, SECOND], "2 keys fit RSA-OAEP: 'first', 'second'"),
        ([FIRST | {"use": "sig"}], "'first' is not for encryption"),
        ([private_jwk("RSA") | {"kid": "leaked"}], "'leaked' has its private half beside it"),
    ],
    ids=["none", "wrong type", "ambiguous", "for signatures", "private"],
)
def test_a_client_without_one_key_that_fits_gets_nothing_and_the_operator_reads_why(
    provider: Provider, relying_party: MakeRelyingParty, key_server: KeyServer, keys: list[Jwk], why: str
) -> None:
    rp = relying_party()
    key_server.keys = tuple(keys)
    client_id = provider.register_client(rp, jwks_uri=key_server.uri, **RSA_OAEP)

    (delivery,) = provider.wait_for(log_out(provider, client_id), lambda found: [each for each in found if each["last_code"]])

    assert (delivery["status"], delivery["last_code"], delivery["attempts"]) == ("queued", UNAVAILABLE, 0)
    assert why in delivery["error_description"]
    assert rp.requests == []


def test_a_client_whose_keys_are_down_gets_nothing_and_its_delivery_goes_out_when_they_are_back(
    provider: Provider, relying_party: MakeRelyingParty, key_server: KeyServer
) -> None:
    rp = relying_party()
    key_server.is_down = True
    client_id = provider.register_client(rp, jwks_uri=key_server.uri, **RSA_OAEP)
    logout = log_out(provider, client_id)
    (waiting,) = provider.wait_for(logout, lambda found: [each for each in found if each["last_code"]])
    assert (waiting["last_code"], waiting["attempts"], waiting["next_attempt_at"] is None) == (UNAVAILABLE, 0, False)
    assert waiting["error_description"].startswith("jwks_uri: connection_reset")
    assert (key_server.requests > 0, rp.requests) == (True, [])

    key_server.is_down = False

    (accepted,) = until(lambda: _hastened(provider, logout), holds=lambda found: found[0]["status"] == "accepted", seconds=60)
    assert (accepted["attempts"], accepted["error_description"]) == (1, None)
    assert verified(provider, content(rp)).claims["aud"] == client_id
    assert len(rp.requests) == 1


def test_while_keys_are_down_the_last_ones_that_were_read_are_used(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, key_server: KeyServer
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, jwks_uri=key_server.uri, **RSA_OAEP)
    function.settled(function.queue(provider.name, client_id))
    key_server.is_down = True

    record = function.settled(function.queue(provider.name, client_id))

    assert record.status is Status.ACCEPTED
    assert (len(rp.requests), key_server.requests) == (2, 2)
    assert verified(provider, content(rp))


def test_a_relying_party_that_has_replaced_its_key_reads_the_second_attempt(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, key_server: KeyServer
) -> None:
    rp = relying_party(Answer(200), Answer(400), Answer(200))
    client_id = provider.register_client(rp, jwks_uri=key_server.uri, **RSA_OAEP)
    function.settled(function.queue(provider.name, client_id))
    second = function.queue(provider.name, client_id)
    function.drain("first")
    assert content(rp)

    key_server.keys = (SECOND,)

    assert function.settled(second).status is Status.ACCEPTED
    assert verified(provider, content(rp, 1))


def test_keys_that_are_mended_end_the_wait_and_the_explanation(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, key_server: KeyServer
) -> None:
    rp = relying_party()
    key_server.keys = (FIRST, SECOND)
    client_id = provider.register_client(rp, jwks_uri=key_server.uri, **RSA_OAEP)
    message = function.queue(provider.name, client_id)
    function.drain("first")
    waiting = once_more(function, function.record(message))
    assert (waiting.status, waiting.attempts, waiting.last_code) == (Status.QUEUED, 0, UNAVAILABLE)
    assert waiting.error_description == "2 keys fit RSA-OAEP: 'first', 'second'"

    key_server.keys = (SECOND,)

    accepted = function.settled(message)
    assert (accepted.status, accepted.attempts, accepted.error_description) == (Status.ACCEPTED, 1, None)
    assert verified(provider, content(rp, 1))


def test_a_delivery_without_a_key_is_given_up_in_the_end(
    function: Function, provider: Provider, relying_party: MakeRelyingParty, key_server: KeyServer
) -> None:
    rp = relying_party()
    key_server.is_down = True
    client_id = provider.register_client(rp, jwks_uri=key_server.uri, give_up_after=60, **RSA_OAEP)
    message = function.queue(provider.name, client_id, ended_at=time.time() - 120)

    record = function.settled(message)

    assert (record.status, record.last_code, record.attempts) == (Status.UNDELIVERABLE, UNAVAILABLE, 0)
    assert rp.requests == []


def _hastened(provider: Provider, logout: str) -> list[Json]:
    """Have a delivery attempted at once if it waits, and return it."""
    answer = provider.post(f"/logouts/{logout}/redeliveries", {"now": True, "statuses": ["queued", "retrying"]})
    assert answer["next"] is None
    return provider.deliveries(logout)
