"""Clients that registered encryption get encrypted tokens or nothing, whatever their keys are."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.deliveries.circuits import RECOVERY
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.slow_clients import SLOW_MS
from backchannel.deliveries.table import CheckedOut
from backchannel.deliveries.verdicts import Done, Postponed, RetryIn
from backchannel.deliveries.worker import WAIT_MAX
from backchannel.egress.post import Response
from backchannel.errors import BackchannelError, DocumentInvalid, DocumentUnavailable, ReadTimeout, StorageUnavailable
from backchannel.tokens.documents import Accept, Document
from backchannel.tokens.encryption_keys import choose
from backchannel.tokens.jwe import ENCS
from backchannel.tokens.locations import Location
from tests.support.encrypting import ALGS, KINDS, decrypted, kinds_of, private_jwk, private_key, public_jwk
from tests.support.signing import unverified_part, verified
from tests.unit.conftest import Log
from tests.unit.test_encryption_keys import KEYS
from tests.unit.test_worker import NOW, RECORD, WIKI, FakeEgress, WorkerWorld

ROOT = Path(__file__).resolve().parents[2]
RSA = public_jwk("RSA", kid="rsa-1", use="enc")
ENCRYPTED = replace(
    WIKI,
    id_token_encrypted_response_alg="RSA-OAEP",
    id_token_encrypted_response_enc="A128CBC-HS256",
    jwks={"keys": [RSA]},
)
AT_URI = replace(
    ENCRYPTED, jwks=None, jwks_uri="https://wiki.example/jwks.json", allowed_networks=("10.1.0.0/16",), ca_bundle="pem"
)


@dataclass
class FakeDocuments:
    """One JWK Set, or why there is none."""

    content: Any
    takes_ms: int = 0
    asked: list[Location] = field(default_factory=list)

    def get(self, location: Location, accept: Accept) -> Document:
        self.asked.append(location)
        if isinstance(self.content, Exception):
            raise self.content
        try:
            accept(self.content)
        except ValueError as error:
            raise DocumentInvalid(str(error)) from error
        return Document(self.content, NOW)


class CountingSigner:
    """Signs nothing that is of use, and counts."""

    def __init__(self) -> None:
        self.signed = 0

    def sign(self, *_: object, within: int) -> bytes:  # noqa: ARG002 - as the port has it
        self.signed += 1
        return b"signature"


@pytest.mark.parametrize("alg", ALGS)
@pytest.mark.parametrize("enc", ENCS)
def test_a_client_that_registered_encryption_gets_its_signed_token_in_a_jwe(alg: str, enc: str) -> None:
    kind = kinds_of(alg)[0]
    keys = {"keys": [public_jwk(kind, kid="k1")]}
    world = WorkerWorld(
        client=replace(ENCRYPTED, id_token_encrypted_response_alg=alg, id_token_encrypted_response_enc=enc, jwks=keys)
    )

    world.attempt()

    header, content = decrypted(world.token, private_key(kind))
    token = verified(content)
    assert {**header, "epk": None} == {
        "alg": alg, "enc": enc, "cty": "JWT", "iss": "https://idp.example/", "kid": "k1", "epk": None
    }  # fmt: skip
    assert token.header["typ"] == "logout+jwt"
    assert (token.claims["aud"], token.claims["sid"]) == ("wiki", "session-of-ada")
    assert world.outcome == Outcome(Status.ACCEPTED, "http_200")


def test_keys_at_a_uri_are_fetched_with_what_the_client_is_trusted_with() -> None:
    documents = FakeDocuments({"keys": [RSA]})
    world = WorkerWorld(client=AT_URI, documents=documents)

    world.attempt()

    assert documents.asked == [Location("https://wiki.example/jwks.json", ("10.1.0.0/16",), "pem")]
    assert verified(decrypted(world.token, private_key("RSA"))[1])


def test_a_key_that_the_client_has_replaced_is_used_from_the_next_look_on() -> None:
    documents = FakeDocuments({"keys": [RSA]})
    world = WorkerWorld(client=AT_URI, documents=documents)
    world.attempt()

    documents.content = {"keys": [public_jwk("RSA", 1)]}
    world.attempt()

    assert verified(decrypted(world.token, private_key("RSA", 1))[1])


NO_KEY: Mapping[str, tuple[Any, str]] = {
    "server down": (DocumentUnavailable("connect_failed: refused"), "jwks_uri: connect_failed: refused"),
    "too old": (DocumentUnavailable("http_503"), "jwks_uri: http_503"),
    "no JWK Set": ({"keys": {}}, "jwks_uri: not a JWK Set"),
    "empty": ({"keys": []}, "no key fits RSA-OAEP: the set is empty"),
    "other type": ({"keys": [public_jwk("P-256", kid="ec")]}, "no key fits RSA-OAEP: 'ec' is of another type"),
    "for signatures": ({"keys": [RSA | {"use": "sig"}]}, "no key fits RSA-OAEP: 'rsa-1' is not for encryption"),
    "ambiguous": ({"keys": [RSA, public_jwk("RSA", 1, kid="rsa-2", use="enc")]}, "2 keys fit RSA-OAEP: 'rsa-1', 'rsa-2'"),
    "broken": ({"keys": [RSA | {"e": "AQ"}]}, "nothing can be encrypted to the key 'rsa-1'"),
}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RETRYING])
@pytest.mark.parametrize("case", NO_KEY)
def test_without_a_key_a_delivery_waits_unsigned_and_tells_the_operator_why(case: str, status: Status, log: Log) -> None:
    keys, why = NO_KEY[case]
    record = replace(RECORD, status=status, attempts=3)
    world, signer = (
        WorkerWorld(client=AT_URI, documents=FakeDocuments(keys), begun=CheckedOut(record, "lease-1")),
        CountingSigner(),
    )
    world.worker = replace(world.worker, signer=signer)

    verdict = world.attempt()

    assert isinstance(verdict, RetryIn)
    assert world.deliveries.settled == [(Outcome(status, "encryption_key_unavailable", verdict.delay, detail=why), None)]
    assert RECOVERY <= verdict.delay <= RECOVERY + WAIT_MAX
    assert (world.egress.posts, signer.signed) == ([], 0)
    (line,) = log.lines
    assert (line["code"], line["detail"]) == ("encryption_key_unavailable", why)


def test_without_a_key_a_delivery_is_given_up_when_the_client_says_so() -> None:
    old = replace(RECORD, created_at=NOW - 600_000)
    client, documents = replace(AT_URI, give_up_after=600), FakeDocuments(DocumentUnavailable("http_503"))
    world = WorkerWorld(client=client, documents=documents, begun=CheckedOut(old, "lease-1"))

    verdict = world.attempt()

    given_up = Outcome(Status.UNDELIVERABLE, "encryption_key_unavailable", detail="jwks_uri: http_503")
    assert verdict == Done(given_up, client=(old.issuer, old.client_id))
    assert world.egress.posts == []


def test_what_a_server_of_keys_says_is_cut_and_cleaned_for_the_operator() -> None:
    world = WorkerWorld(client=AT_URI, documents=FakeDocuments(DocumentUnavailable("\x1b[31m\n" + "x" * 999)))

    world.attempt()

    detail = world.outcome.detail
    assert detail is not None
    assert len(detail) == 200
    assert detail.startswith("jwks_uri:  [31m x")


def test_a_table_of_documents_that_does_not_answer_is_an_internal_failure() -> None:
    world = WorkerWorld(client=AT_URI, documents=FakeDocuments(StorageUnavailable("ThrottlingException")))

    assert isinstance(world.attempt(), Postponed)
    assert (world.egress.posts, world.deliveries.settled, world.deliveries.released) == ([], [], ["lease-1"])


@pytest.mark.parametrize(("takes_ms", "is_slow"), [(SLOW_MS, True), (SLOW_MS - 1, False)])
@pytest.mark.parametrize("content", [{"keys": [RSA]}, DocumentUnavailable("read_timeout")])
def test_a_client_whose_keys_take_their_time_is_a_slow_one(
    monkeypatch: pytest.MonkeyPatch,
    content: object,
    takes_ms: int,
    is_slow: bool,  # noqa: FBT001 - a row of the table
) -> None:
    world = WorkerWorld(client=AT_URI, documents=FakeDocuments(content))
    clock = iter([0.0, takes_ms / 1000])
    monkeypatch.setattr("backchannel.deliveries.encryption.time.perf_counter", lambda: next(clock, time.time()))

    world.attempt()

    assert world.slow_clients.is_slow("idp", "wiki") is is_slow


@pytest.mark.parametrize(
    "changed",
    [{"jwks": None}, {"id_token_encrypted_response_enc": None}],
)
def test_a_client_that_no_registration_lets_through_gets_nothing_either(changed: dict[str, Any]) -> None:
    world = WorkerWorld(client=replace(ENCRYPTED, **changed))

    world.attempt()

    assert world.outcome.code == "encryption_key_unavailable"
    assert world.egress.posts == []


def test_an_encrypted_token_that_a_relying_party_repeats_is_not_kept() -> None:
    class Echo(FakeEgress):
        def post(self, uri: str, body: bytes, **options: Any) -> Response:  # noqa: ARG002 - as the port has it
            return Response(400, None, b"bad token: " + body.removeprefix(b"logout_token="), "text/plain", "93.184.215.14")

    for alg in ("RSA-OAEP", "ECDH-ES"):
        keys = {"keys": [public_jwk(kinds_of(alg)[0])]}
        world = WorkerWorld(client=replace(ENCRYPTED, id_token_encrypted_response_alg=alg, jwks=keys))
        world.worker = replace(world.worker, egress=Echo(ReadTimeout()))

        world.attempt()

        assert world.answered is not None
        assert world.answered.error == "bad token: [token]"


FAILURES: list[BackchannelError] = [DocumentUnavailable("down"), DocumentInvalid("no"), StorageUnavailable("ThrottlingException")]
DOCUMENTS = (
    st.sampled_from(FAILURES)
    | st.fixed_dictionaries({"keys": st.lists(KEYS, max_size=4)})
    | st.dictionaries(st.sampled_from(["keys", "key"]), st.none() | st.text() | st.lists(st.none()), max_size=2)
)
RESULTS = st.sampled_from([200, 204, 302, 400, 401, 503])


@settings(max_examples=300)
@given(DOCUMENTS, st.sampled_from(ALGS), st.sampled_from(ENCS), st.booleans(), RESULTS)
def test_no_client_that_registered_encryption_is_ever_sent_a_plain_token(
    document: Any,
    alg: str,
    enc: str,
    has_uri: bool,  # noqa: FBT001 - drawn
    status: int,
) -> None:
    result = Response(status, None, b"", None, "93.184.215.14")
    is_set = isinstance(document, dict) and isinstance(document.get("keys"), list)
    keys: dict[str, Any] = {} if has_uri or not is_set else {"jwks": document}
    client = replace(AT_URI, id_token_encrypted_response_alg=alg, id_token_encrypted_response_enc=enc, **keys)
    world, signer = WorkerWorld(client=client, documents=FakeDocuments(document), result=result), CountingSigner()
    world.worker = replace(world.worker, signer=signer)

    world.attempt()

    assert signer.signed == len(world.egress.posts)
    for _, body, _ in world.egress.posts:
        token = body.decode().removeprefix("logout_token=")
        assert token.count(".") == 4
        assert unverified_part(token, 0)["enc"] == enc
        kind = unverified_part(token, 0).get("epk", {}).get("crv", "RSA")
        if public_jwk(kind).items() <= choose(document["keys"], alg).items():  # drawn may be a key that nobody has
            assert decrypted(token, private_key(kind))[1].count(".") == 2


@given(st.sampled_from(ALGS), st.sampled_from(KINDS))
def test_a_private_key_that_a_client_publishes_is_not_encrypted_to(alg: str, kind: str) -> None:
    client = replace(AT_URI, id_token_encrypted_response_alg=alg)
    world = WorkerWorld(client=client, documents=FakeDocuments({"keys": [private_jwk(kind)]}))

    world.attempt()

    assert world.outcome.code == "encryption_key_unavailable"


def test_a_delivery_to_a_plain_client_imports_no_jwcrypto() -> None:
    program = (
        "import pytest, sys; status = pytest.main(['-q', 'tests/unit/test_aws_calls.py', '-k', '{}']);"
        "print(status, 'jwcrypto' in sys.modules)"
    )

    found = {each: _last_line(program.format(each)) for each in ("first_delivery", "is_encrypted_to_keys")}

    assert found == {"first_delivery": "0 False", "is_encrypted_to_keys": "0 True"}


def test_a_cold_start_of_delivery_imports_nothing_of_encryption() -> None:
    program = (
        "import os, sys; from tests.support.deployed import ENVIRONMENT, load;"
        "os.environ |= {**ENVIRONMENT, 'AWS_DEFAULT_REGION': 'eu-central-1'}; load('delivery');"
        "print([name for name in sys.modules if name.endswith(('jwcrypto', 'encryption', '_keys', 'jwe', 'fetched_documents'))])"
    )

    assert _last_line(program) == "[]"


def _last_line(program: str) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers" / "backchannel")])}
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, env=env)  # noqa: S603
    return run.stdout.splitlines()[-1]
