"""A test of a client: the token of a real attempt, about nobody; what its result means, as a table."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backchannel import errors
from backchannel.aws.functions import CONFIG
from backchannel.deliveries import meanings
from backchannel.deliveries.client_tester import MADE_UP, POST_WITHIN, ClientTester
from backchannel.deliveries.encryption import Encryption
from backchannel.deliveries.meanings import ALL
from backchannel.deliveries.slow_clients import SlowClients
from backchannel.egress.post import DEADLINE, Response
from backchannel.egress.trace import Refusal, Step, Trace
from backchannel.errors import NotFoundError, RelyingPartyFault
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from tests.support.signing import signer, unverified_part, verified
from tests.support.snippets import sections
from tests.unit.conftest import Log
from tests.unit.test_worker import NOW, PROVIDER, WIKI, BrokenSigner, NoDocuments, WorkerWorld

ADMIN = "arn:aws:iam::123456789012:user/ops"
SAID = json.dumps({"error": "invalid_request", "error_description": "wrong issuer"}).encode()
UNTRUSTED = replace(WIKI, own_tokens=False)
PAGE = b"<!doctype html><title>Start</title>"
RETRYING = "retrying"
OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PAGE_OF_CODES = sections(OPERATIONS.read_text())["Does a client take our tokens?"].partition("| code | means |")[2]

pytestmark = pytest.mark.usefixtures("no_metrics")


def answer(status: int, body: bytes = b"", retry_after: str | None = None) -> Response:
    return Response(status, retry_after, body, "application/json", "93.184.215.14")


class TracedEgress:
    """Answers every POST alike; a fault ends the step that it belongs to."""

    def __init__(self, result: Response | RelyingPartyFault, failing: Step | None = None, refusal: Refusal | None = None) -> None:
        self.result = result
        self.failing = failing
        self.refusal = refusal
        self.posts: list[tuple[str, bytes, dict[str, Any]]] = []

    def post(self, uri: str, body: bytes, *, trace: Trace, **options: Any) -> Response:
        self.posts.append((uri, body, options))
        for step in Step:
            if step is self.failing:
                break
            trace.done(step)
        trace.refusal = self.refusal
        if isinstance(self.result, RelyingPartyFault):
            raise self.result
        return self.result

    @property
    def token(self) -> str:
        return self.posts[-1][1].decode().removeprefix("logout_token=")


def made_tester(
    egress: TracedEgress,
    *,
    client: Client = WIKI,
    provider: Provider = PROVIDER,
    signs: Any = None,
    now: Callable[[], int] = lambda: NOW,
) -> ClientTester:
    encryption = Encryption(NoDocuments(), SlowClients())
    return ClientTester(
        lambda _: provider,
        lambda *_: client,
        lambda: encryption,
        signs or signer(),
        egress,
        Random(0),  # noqa: S311 - spreads retries
        now,
    )


def run(egress: TracedEgress, **world: Any) -> dict[str, Any]:
    return made_tester(egress, **world).test(provider="idp", client_id="wiki", requester=ADMIN)


ANSWERS: list[tuple[int, bytes, str, str, str]] = [
    (200, b"", "accepted", "accepted", "accepted"),
    (200, b"{}", "accepted", "accepted", "accepted"),
    (204, b"", "accepted", "accepted", "accepted"),
    (202, b"", "accepted", "accepted", "accepted"),
    (200, PAGE, "accepted_with_page", "accepted", "accepted"),
    (301, b"", "redirected", "rejected", "rejected"),
    (302, b"", "redirected", "rejected", "rejected"),
    (308, b"", "redirected", "rejected", "rejected"),
    (400, SAID, "token_refused", RETRYING, "rejected"),
    (401, b"", "filtered", "rejected", "rejected"),
    (403, b"", "filtered", "rejected", "rejected"),
    (407, b"", "filtered", "rejected", "rejected"),
    (404, PAGE, "no_such_path", "rejected", "rejected"),
    (410, b"", "no_such_path", "rejected", "rejected"),
    (405, b"", "method_refused", "rejected", "rejected"),
    (415, b"", "form_refused", "rejected", "rejected"),
    (411, b"", "request_refused", "rejected", "rejected"),
    (422, b"", "request_refused", "rejected", "rejected"),
    (408, b"", "busy", RETRYING, "undeliverable"),
    (425, b"", "busy", RETRYING, "undeliverable"),
    (429, b"", "busy", RETRYING, "undeliverable"),
    (500, b"", "server_error", RETRYING, "undeliverable"),
    (501, b"", "server_error", RETRYING, "undeliverable"),
    (502, b"", "behind_proxy_down", RETRYING, "undeliverable"),
    (503, b"", "behind_proxy_down", RETRYING, "undeliverable"),
    (504, b"", "behind_proxy_down", RETRYING, "undeliverable"),
    (999, b"", "unexpected_status", "rejected", "rejected"),
]


@pytest.mark.parametrize(("status", "body", "code", "outcome", "in_the_end"), ANSWERS)
def test_an_answer_means_this_and_a_delivery_would_come_to_that(
    status: int, body: bytes, code: str, outcome: str, in_the_end: str
) -> None:
    found = run(TracedEgress(answer(status, body)))

    assert (found["code"], found["outcome"]["status"], found["outcome"]["in_the_end"]) == (code, outcome, in_the_end)
    assert (found["outcome"]["code"], found["status_code"], found["failed_at"]) == (f"http_{status}", status, None)
    assert (found["outcome"]["retry_in"] is not None) == (outcome == RETRYING)


FAULTS: list[tuple[RelyingPartyFault, Step, str, str]] = [
    (errors.DnsFailure("rp.test: no address"), Step.RESOLVE, "dns_failure", "undeliverable"),
    (errors.AddressForbidden("10.0.0.1"), Step.RESOLVE, "address_forbidden", "blocked"),
    (errors.ConnectFailed("refused"), Step.CONNECT, "connect_failed", "undeliverable"),
    (errors.ConnectTimeout("timed out"), Step.CONNECT, "connect_timeout", "undeliverable"),
    (errors.TlsFailed("no protocols"), Step.TLS, "tls_failed", "blocked"),
    (errors.TlsAborted("alert certificate required"), Step.ANSWER, "tls_aborted", "undeliverable"),
    (errors.TlsTimeout("timed out"), Step.TLS, "tls_timeout", "undeliverable"),
    (errors.ConnectionReset("reset"), Step.TLS, "connection_reset", "undeliverable"),
    (errors.ConnectionReset("reset"), Step.ANSWER, "connection_reset", "undeliverable"),
    (errors.ReadTimeout("silent"), Step.ANSWER, "read_timeout", "undeliverable"),
    (errors.DeadlineExceeded("drips"), Step.ANSWER, "deadline_exceeded", "undeliverable"),
    (errors.AnswerMalformed("no status line"), Step.ANSWER, "answer_malformed", "undeliverable"),
]


@pytest.mark.parametrize(("fault", "failing", "code", "in_the_end"), FAULTS, ids=str)
def test_a_fault_names_its_step_and_what_it_means(fault: RelyingPartyFault, failing: Step, code: str, in_the_end: str) -> None:
    found = run(TracedEgress(fault, failing))

    assert (found["code"], found["failed_at"], found["detail"]) == (code, failing, str(fault))
    assert (found["outcome"]["status"], found["outcome"]["in_the_end"]) == (RETRYING, in_the_end)
    assert found["status_code"] is None
    assert list(found["milliseconds"]) == ["prepare", "sign", *_until(failing)]


def _until(failing: Step) -> list[Step]:
    steps = list(Step)
    return steps[: steps.index(failing) + 1]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (9, "tls_not_yet_valid"),
        (10, "tls_expired"),
        (18, "tls_self_signed"),
        (19, "tls_authority_unknown"),
        (20, "tls_authority_unknown"),
        (21, "tls_authority_unknown"),
        (62, "tls_name_mismatch"),
        (64, "tls_name_mismatch"),
        (23, "tls_failed"),
    ],
)
def test_a_refused_certificate_is_told_by_openssls_number_not_by_its_words(number: int, code: str) -> None:
    assert run(TracedEgress(errors.TlsFailed("…"), Step.TLS, Refusal(number, "any words")))["code"] == code


def test_every_fault_of_a_relying_party_has_a_meaning() -> None:
    assert {*RelyingPartyFault.__subclasses__()} == {*meanings.FAULTS}


def test_every_code_has_one_text_and_is_in_the_operators_page() -> None:
    texts: dict[str, set[str]] = {}
    for meaning in ALL:
        texts.setdefault(meaning.code, set()).add(meaning.text)

    assert all(len(found) == 1 for found in texts.values()), texts
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", PAGE_OF_CODES, re.MULTILINE)
    assert {code for row in rows for code in re.findall(r"[a-z_]+", row)} == texts.keys()


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, "accepted_untrusted"), (400, "refused_as_it_must"), (404, "no_such_path"), (500, "server_error")],
)
def test_a_client_of_the_providers_own_tokens_must_refuse_ours(status: int, code: str) -> None:
    egress = TracedEgress(answer(status))

    assert run(egress, client=UNTRUSTED)["code"] == code
    assert verified(egress.token)


CLIENTS = {
    "both": WIKI,
    "sid only": replace(WIKI, subject="sid_only"),
    "sub only": replace(WIKI, subject="sub_only"),
    "required": replace(WIKI, backchannel_logout_session_required=True),
    "typ JWT": replace(WIKI, typ="JWT"),
    "no typ": replace(WIKI, typ=None),
    "short": replace(WIKI, exp=30),
    "ES256": replace(WIKI, id_token_signed_response_alg="ES256"),
    "networks": replace(WIKI, allowed_networks=("10.0.0.0/8",), ca_bundle="PEM"),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_token_of_a_test_differs_from_a_real_one_in_whom_it_names_alone(name: str) -> None:
    client = CLIENTS[name]
    world, egress = WorkerWorld(client=client), TracedEgress(answer(200))

    world.attempt()
    run(egress, client=client)

    assert verified(egress.token)
    assert unverified_part(egress.token, 0) == unverified_part(world.token, 0)
    real, made_up = unverified_part(world.token, 1), unverified_part(egress.token, 1)
    assert list(made_up) == list(real)
    own = {"sub", "sid", "jti"}
    assert {name: each for name, each in made_up.items() if name not in own} == {
        name: each for name, each in real.items() if name not in own
    }
    assert all(made_up[name].startswith(MADE_UP) for name in {"sub", "sid"} & made_up.keys())
    (uri, _, options), (real_uri, _, real_options) = egress.posts[0], world.egress.posts[0]
    assert (uri, options) == (real_uri, real_options)


def test_no_two_tests_name_the_same_subject() -> None:
    found = [run(TracedEgress(answer(200)))["token"]["claims"] for _ in range(3)]

    assert all(one["sub"] != other["sub"] and one["sid"] != other["sid"] for one, other in pairwise(found))


@pytest.mark.parametrize("status", [200, 400, 500])
def test_no_token_comes_back_whatever_the_relying_party_repeats(status: int, log: Log) -> None:
    class Echo(TracedEgress):
        def post(self, uri: str, body: bytes, *, trace: Trace, **options: Any) -> Response:
            super().post(uri, body, trace=trace, **options)
            return answer(status, json.dumps({"error": "invalid_request", "error_description": f"bad {self.token}"}).encode())

    egress = Echo(answer(status))
    found = run(egress)

    assert egress.token.rpartition(".")[2] not in json.dumps(found) + log.text
    assert "eyJ" not in json.dumps(found) + log.text
    assert found["error_description"] == (None if status == 200 else "bad [token]")


def test_who_asked_and_what_happened_are_one_line_of_the_log(log: Log) -> None:
    run(TracedEgress(answer(400, SAID)))

    (line,) = log.lines
    assert (line["message"], line["requested_by"], line["code"], line["status_code"]) == (
        "client.tested",
        ADMIN,
        "token_refused",
        400,
    )
    assert MADE_UP not in log.text


def test_a_client_without_an_address_is_sent_nothing() -> None:
    egress = TracedEgress(answer(200))

    found = run(egress, client=replace(WIKI, backchannel_logout_uri=None))

    assert (found["code"], found["failed_at"], found["outcome"]["status"]) == (
        "no_backchannel_logout_uri",
        "prepare",
        "suppressed",
    )
    assert not egress.posts


@pytest.mark.parametrize(("client", "code"), [(WIKI, "no_key"), (UNTRUSTED, "no_key_needed")])
def test_without_a_key_nothing_is_sent(client: Client, code: str) -> None:
    egress = TracedEgress(answer(200))

    found = run(egress, client=client, provider=replace(PROVIDER, keys=()))

    assert (found["code"], found["failed_at"], found["token"]) == (code, "prepare", None)
    assert not egress.posts


def test_without_an_encryption_key_nothing_is_sent() -> None:
    egress = TracedEgress(answer(200))
    client = replace(
        WIKI, id_token_encrypted_response_alg="RSA-OAEP", id_token_encrypted_response_enc="A128GCM", jwks={"keys": []}
    )

    found = run(egress, client=client)

    assert (found["code"], found["failed_at"]) == ("encryption_key_unavailable", "prepare")
    assert not egress.posts


def test_what_kms_refuses_is_an_internal_failure_and_nothing_is_sent() -> None:
    egress = TracedEgress(answer(200))

    found = run(egress, signs=BrokenSigner(errors.SigningUnavailable("AccessDeniedException")))

    assert (found["code"], found["failed_at"]) == ("internal_failure", "sign")
    assert found["detail"] == "signing_unavailable: AccessDeniedException"
    assert not egress.posts


def test_a_post_that_could_not_end_in_time_is_not_begun() -> None:
    egress, moments = TracedEgress(answer(200)), _moments()

    found = run(egress, now=lambda: next(moments))

    assert (found["code"], found["detail"]) == ("internal_failure", "out_of_time")
    assert not egress.posts


def _moments() -> Iterator[int]:
    """Yield the time of the beginning, and then those after the last at which a POST may begin."""
    yield NOW
    while True:
        yield NOW + POST_WITHIN + 1


def test_admin_waits_longer_than_a_test_takes() -> None:
    config: Any = CONFIG
    cold_start = 2_000

    assert POST_WITHIN + DEADLINE * 1000 + cold_start <= config.read_timeout * 1000


def test_a_client_that_is_gone_is_not_found() -> None:
    def gone(*_: str) -> Client:
        raise NotFoundError.of("client", "wiki")

    gone_tester = replace(made_tester(TracedEgress(answer(200))), client=gone)

    with pytest.raises(NotFoundError):
        gone_tester.test(provider="idp", client_id="wiki", requester=ADMIN)


def test_a_retry_after_is_what_a_delivery_would_wait() -> None:
    assert run(TracedEgress(answer(429, retry_after="120")))["outcome"]["retry_in"] == 120
