"""Does a client take our tokens? The operator asks, and real relying parties that behave in each way answer."""

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from backchannel.aws.dynamodb import key, part
from backchannel.deliveries import circuits
from backchannel.deliveries.circuits import Circuits
from backchannel.deliveries.client_tester import MADE_UP
from local.client import Stack
from local.relying_party import RelyingParty as VerifyingRelyingParty
from tests.faults.servers import OK, Server, answers, resets
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.encrypting import public_jwk
from tests.support.provider import LOOPBACK, Json, Provider
from tests.support.relying_party import HANG, Answer
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.second

NOBODY = "http://127.0.0.1:9/"
REFUSAL = Answer(400, json.dumps({"error": "invalid_request", "error_description": "wrong issuer"}).encode())


def answer_of(provider: Provider, client_id: str) -> Json:
    return provider.post(f"/clients/{client_id}/test", {})


# --- What the answer means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (Answer(200), "accepted", "accepted"),
        (Answer(200, b"<html>Welcome"), "accepted_with_page", "accepted"),
        (REFUSAL, "token_refused", "retrying"),
        (Answer(302, headers={"Location": "/login"}), "redirected", "rejected"),
        (Answer(403), "filtered", "rejected"),
        (Answer(404, b"<html>Not Found"), "no_such_path", "rejected"),
        (Answer(500), "server_error", "retrying"),
    ],
    ids=lambda each: each.status if isinstance(each, Answer) else str(each),
)
def test_an_answer_is_told_with_what_it_means(
    shared_provider: Provider, relying_party: MakeRelyingParty, answer: Answer, code: str, status: str
) -> None:
    rp = relying_party(answer)
    client_id = shared_provider.register_client(rp)

    found = answer_of(shared_provider, client_id)

    assert (found["code"], found["outcome"]["status"], found["status_code"]) == (code, status, answer.status)
    assert list(found["milliseconds"]) == ["prepare", "sign", "resolve", "connect", "send", "answer"]
    assert (found["failed_at"], found["held_up"], found["address"]) == (None, [], "127.0.0.1")
    (token,) = rp.tokens
    claims = verified(shared_provider, token).claims
    assert claims["sub"].startswith(MADE_UP)
    assert claims["sid"].startswith(MADE_UP)
    assert found["token"]["claims"].items() <= claims.items()
    assert token.rpartition(".")[2] not in json.dumps(found)


def test_the_words_of_a_refusal_are_shown_but_never_the_token_in_them(
    shared_provider: Provider, relying_party: MakeRelyingParty
) -> None:
    assert (
        answer_of(shared_provider, shared_provider.register_client(relying_party(REFUSAL)))["error_description"] == "wrong issuer"
    )


def test_a_relying_party_that_verifies_takes_the_token_and_ends_nobodys_session(shared_provider: Provider, stack: Stack) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    jwks = f"{stack.api_url}{shared_provider.path}/jwks.json"
    with VerifyingRelyingParty("wiki", "RS256", shared_provider.issuer, jwks) as rp:
        shared_provider.register_client(rp.backchannel_logout_uri, "wiki")
        rp.log_in(sub, sid)

        assert answer_of(shared_provider, "wiki")["code"] == "accepted"
        assert rp.sessions == {sid: sub}

        rp.issuer = "https://another.example/"
        refused = answer_of(shared_provider, "wiki")

    assert (refused["code"], refused["error"], refused["error_description"]) == ("token_refused", "invalid_request", "claims")


# --- How far it came --------------------------------------------------------------------------------------------------


def test_a_relying_party_that_hangs_is_given_up_like_a_delivery(
    shared_provider: Provider, relying_party: MakeRelyingParty
) -> None:
    client_id = shared_provider.register_client(relying_party(HANG))

    found = answer_of(shared_provider, client_id)

    assert (found["code"], found["failed_at"]) == ("read_timeout", "answer")
    assert 4_500 < found["milliseconds"]["answer"] < 7_500


@pytest.mark.parametrize(
    ("uri", "networks", "code", "failed_at"),
    [
        (NOBODY, LOOPBACK, "connect_failed", "connect"),
        ("https://rp.invalid/logout", [], "dns_failure", "resolve"),
        ("https://localhost/logout", [], "address_forbidden", "resolve"),
    ],
)
def test_a_test_that_does_not_arrive_says_where_it_ended(
    shared_provider: Provider, uri: str, networks: list[str], code: str, failed_at: str
) -> None:
    client_id = shared_provider.register_client(uri, allowed_networks=networks)

    found = answer_of(shared_provider, client_id)

    assert (found["code"], found["failed_at"], found["status_code"]) == (code, failed_at, None)
    assert all(each["forbidden"] is None or "loopback" in each["forbidden"] for each in found["addresses"])
    assert [each["address"] for each in found["addresses"] if each["dialled"]] == (["127.0.0.1"] if uri == NOBODY else [])


def test_a_reset_is_told_with_its_step(shared_provider: Provider) -> None:
    with Server(resets) as server:
        client_id = shared_provider.register_client(f"http://127.0.0.1:{server.port}/")

        found = answer_of(shared_provider, client_id)

    assert (found["code"], found["failed_at"]) == ("connection_reset", "answer")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(authority: trustme.CA, name: str, not_after: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=not_after).configure_cert(context)
    return context


@contextlib.contextmanager
def client_over_tls(provider: Provider, context: ssl.SSLContext, ca_bundle: str | None) -> Iterator[str]:
    with Server(answers(OK), context) as server:
        yield provider.register_client(f"https://127.0.0.1:{server.port}/", ca_bundle=ca_bundle)


def test_a_certificate_that_is_trusted_is_shown(shared_provider: Provider, authority: trustme.CA) -> None:
    with client_over_tls(shared_provider, certified(authority, "127.0.0.1"), authority.cert_pem.bytes().decode()) as client_id:
        found = answer_of(shared_provider, client_id)

    assert (found["code"], found["tls_version"]) == ("accepted", "TLSv1.3")
    assert found["certificate"]["names"] == ["127.0.0.1"]
    assert datetime.fromisoformat(found["certificate"]["not_after"]) > datetime.now(UTC)


@pytest.mark.parametrize("code", ["tls_authority_unknown", "tls_name_mismatch", "tls_expired"])
def test_a_certificate_that_is_refused_says_why(shared_provider: Provider, authority: trustme.CA, code: str) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    name = "another.test" if code == "tls_name_mismatch" else "127.0.0.1"
    context = certified(authority, name, yesterday if code == "tls_expired" else None)
    bundle = None if code == "tls_authority_unknown" else authority.cert_pem.bytes().decode()
    with client_over_tls(shared_provider, context, bundle) as client_id:
        found = answer_of(shared_provider, client_id)

    assert (found["code"], found["failed_at"], found["certificate"]) == (code, "tls", None)
    assert (found["outcome"]["status"], found["outcome"]["in_the_end"]) == ("retrying", "blocked")


# --- What holds real deliveries up, and what they do not notice -------------------------------------------------------


def test_a_paused_client_is_tested_all_the_same_and_stays_paused(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp, paused=True)

    found = answer_of(provider, client_id)

    assert (found["code"], [each["code"] for each in found["held_up"]]) == ("accepted", ["client_paused"])
    assert len(rp.requests) == 1
    assert provider.get(f"/clients/{client_id}")["paused"]


def test_an_open_circuit_is_told_and_left_as_it_is(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    client_id = provider.register_client(relying_party())
    open_circuit(aws, provider, client_id)

    found = answer_of(provider, client_id)

    assert (found["code"], [each["code"] for each in found["held_up"]]) == ("accepted", ["circuit_open"])
    assert provider.get(f"/clients/{client_id}")["circuit"]["state"] == "open"


def open_circuit(aws: Aws, provider: Provider, client_id: str) -> None:
    name = key(provider.name, part(client_id))
    store = Circuits(aws.client("dynamodb"), aws.stack.tables["CircuitsTable"])._store
    store.configure(config=circuits._CONFIG, circuit_name=name)
    store.save_open(name, circuits.FAILURES, round(time.time()))


def test_failing_tests_open_no_circuit_and_record_no_delivery(provider: Provider, relying_party: MakeRelyingParty) -> None:
    client_id = provider.register_client(relying_party(Answer(503)))

    for _ in range(circuits.FAILURES + 1):
        assert answer_of(provider, client_id)["code"] == "behind_proxy_down"

    assert provider.get(f"/clients/{client_id}")["circuit"]["state"] == "closed"
    assert provider.get(f"/deliveries?client_id={client_id}")["deliveries"] == []


def test_a_test_shows_a_change_at_once(provider: Provider, relying_party: MakeRelyingParty) -> None:
    before, after = relying_party(), relying_party()
    client_id = provider.register_client(before)
    answer_of(provider, client_id)
    provider.register_client(after, client_id)

    answer_of(provider, client_id)

    assert [len(each.requests) for each in (before, after)] == [1, 1]


# --- Clients that need something else ---------------------------------------------------------------------------------


def test_a_client_that_wants_encryption_is_tested_with_an_encrypted_token(
    shared_provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    wish: dict[str, Any] = {"id_token_encrypted_response_alg": "RSA-OAEP-256"}
    client_id = shared_provider.register_client(rp, jwks={"keys": [public_jwk("RSA", alg="RSA-OAEP-256")]}, **wish)

    found = answer_of(shared_provider, client_id)

    assert (found["code"], found["token"]["encryption"]) == ("accepted", {"alg": "RSA-OAEP-256", "enc": "A128CBC-HS256"})
    assert rp.tokens[0].count(".") == 4


def test_a_client_without_our_keys_and_one_without_an_address_are_told_so(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    relayed = provider.register_client(relying_party(), own_tokens=False)
    provider.put("/clients/silent", {})

    assert answer_of(provider, relayed)["code"] == "no_key_needed"
    assert answer_of(provider, "silent")["code"] == "no_backchannel_logout_uri"

    provider.register_client(relying_party())  # makes a key
    assert answer_of(provider, relayed)["code"] == "accepted_untrusted"


def test_a_client_that_is_not_registered_cannot_be_tested(shared_provider: Provider) -> None:
    status, answer = shared_provider.stack.admin("POST", f"{shared_provider.path}/clients/nobody/test")

    assert (status, answer["code"]) == (404, "not_found")


def test_a_test_takes_no_subject_so_that_it_can_log_nobody_out(
    shared_provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    path = f"{shared_provider.path}/clients/{shared_provider.register_client(rp)}/test"

    status, answer = shared_provider.stack.admin("POST", path, {"sub": new_id("sub")})

    assert (status, answer["code"], rp.requests) == (400, "malformed_request", [])
    assert shared_provider.stack.admin("POST", path)[0] == 200, "a body is optional"
