"""How many calls to AWS one delivery and one fan-out take. A call more is money and CPU time for every logout."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from standardwebhooks import Webhook

from backchannel.deliveries.encryption import Encryption
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.slow_clients import SlowClients
from backchannel.egress.post import Response
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.sessions.messages import EndMessage
from backchannel.tokens.documents import Documents
from tests.support.aws_answers import Answers, AwsAnswers
from tests.support.aws_responses import response
from tests.support.aws_tables import (
    LOGOUT_ID,
    PROVIDER,
    of_deliveries,
    of_fan_out,
    of_logout_token,
    of_repeated_end,
    of_webhook,
)
from tests.support.deployed import CONTEXT, ENVIRONMENT, load, sqs_event
from tests.support.encrypting import public_jwk
from tests.support.logout_tokens import TokenSigner

SID = "08a5019c-17e1-4977-8f42-65a12843ea02"
WIKI = Client("counted-calls", "https://wiki.example/logout", id_token_signed_response_alg="ES256")
ENCRYPTED = replace(WIKI, id_token_encrypted_response_alg="ECDH-ES", id_token_encrypted_response_enc="A128GCM")
JWKS = json.dumps({"keys": [public_jwk("P-256")]}).encode()

CONFIGURATION = {"GetItem providers": 2, "GetItem circuits": 1}
"""What a function reads once and then keeps for a while."""

ATTEMPT = {"UpdateItem deliveries": 2, "Query sessions": 1, "Sign": 1, "UpdateItem client_counts": 1}
"""The look is for newer logins, which a token with ``sub`` would end. Counted is once for each client of a batch."""

type Connect = Callable[[Answers], AwsAnswers]

pytestmark = pytest.mark.usefixtures("no_metrics", "log")


@dataclass(frozen=True, slots=True)
class OneStatusEgress:
    """Answers every token with one status."""

    status: int

    def post(self, *_: object, **__: object) -> Response:
        return Response(self.status, None, b"", None, "192.0.2.1")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Let AWS answer all clients that boto3 makes from now on, without a socket."""
    for name, value in {**ENVIRONMENT, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(region_name="eu-central-1"))

    def to(answers: Answers) -> AwsAnswers:
        aws = AwsAnswers(answers)

        def send(request: AWSRequest, **_: object) -> AWSResponse:
            target, sent = cast("bytes", request.headers["X-Amz-Target"]), cast("bytes", request.body)
            status, body = aws.answer(target.decode(), sent)
            return response(request, status, body)

        boto3.DEFAULT_SESSION.events.register("before-send", send)  # type: ignore[union-attr,arg-type] # it was set above; what it returns is the answer
        return aws

    return to


def _delivery(aws_knows: Answers, connect: Connect, status: int = 204) -> tuple[AwsAnswers, ModuleType]:
    aws, app = connect(aws_knows), load("delivery")
    worker = replace(app.worker, egress=OneStatusEgress(status))
    app.consumer = replace(app.consumer, worker=worker)  # type: ignore[attr-defined]
    return aws, app


def _deliver(app: ModuleType, sid: str | None = SID, queue: str = "delivery", *, times: int = 1) -> list[Any]:
    message = DeliveryMessage(PROVIDER.provider, LOGOUT_ID, WIKI.client_id, sid)
    failures: list[Any] = app.handler(sqs_event(queue, [message.to_json()] * times), CONTEXT)["batchItemFailures"]
    return failures


def test_a_first_delivery_takes_eight_calls_and_the_next_one_five(connect: Connect) -> None:
    aws, app = _delivery(of_deliveries([WIKI], SID, whole_session=True), connect)

    _deliver(app)
    first = dict(aws.calls)
    aws.calls.clear()
    _deliver(app)

    assert first == {**CONFIGURATION, **ATTEMPT}
    assert dict(aws.calls) == ATTEMPT


def test_a_batch_for_one_client_is_counted_with_one_call(connect: Connect) -> None:
    aws, app = _delivery(of_deliveries([WIKI], SID, whole_session=True), connect)

    _deliver(app, times=10)

    assert (aws.calls["UpdateItem deliveries"], aws.calls["UpdateItem client_counts"]) == (20, 1)


def test_the_end_of_a_clients_part_of_a_session_takes_a_look_into_it(connect: Connect) -> None:
    aws, app = _delivery(of_deliveries([WIKI], SID, whole_session=False), connect)

    _deliver(app)

    assert dict(aws.calls) == {**CONFIGURATION, **ATTEMPT, "Query sessions": 2}


def test_a_first_token_by_sid_alone_needs_no_look(connect: Connect) -> None:
    aws, app = _delivery(of_deliveries([replace(WIKI, subject="sid_only")], SID, whole_session=True), connect)

    _deliver(app)

    assert dict(aws.calls) == {**CONFIGURATION, "UpdateItem deliveries": 2, "Sign": 1, "UpdateItem client_counts": 1}


def test_a_token_that_is_encrypted_to_keys_in_the_registration_takes_no_call_more(connect: Connect) -> None:
    client = replace(ENCRYPTED, jwks={"keys": [public_jwk("P-256")]})
    aws, app = _delivery(of_deliveries([client], SID, whole_session=True), connect)

    _deliver(app)

    assert dict(aws.calls) == {**CONFIGURATION, **ATTEMPT}


def test_keys_at_a_uri_take_three_calls_a_minute(connect: Connect) -> None:
    client = replace(ENCRYPTED, jwks_uri="https://wiki.example/jwks.json")
    aws, app = _delivery(of_deliveries([client], SID, whole_session=True), connect)
    documents = Documents(lambda *_, **__: Response(200, None, JWKS, None, "192.0.2.1"), app.encryption().documents._store)
    worker = replace(app.consumer.worker, encryption=lambda: Encryption(documents, SlowClients()))
    app.consumer = replace(app.consumer, worker=worker)  # type: ignore[attr-defined]

    _deliver(app)
    first = dict(aws.calls)
    aws.calls.clear()
    _deliver(app)

    assert first == {**CONFIGURATION, **ATTEMPT, "GetItem client_documents": 1, "UpdateItem client_documents": 2}
    assert dict(aws.calls) == ATTEMPT


@pytest.mark.parametrize(
    ("queue", "stays", "call"), [("delivery", 0, "SendMessageBatch retry"), ("retry", 1, "ChangeMessageVisibility retry")]
)
def test_a_delivery_that_has_to_be_retried_takes_one_more_call(connect: Connect, queue: str, stays: int, call: str) -> None:
    aws, app = _delivery(of_deliveries([WIKI], SID, whole_session=True), connect, status=503)

    failures = _deliver(app, queue=queue)

    assert len(failures) == stays
    assert dict(aws.calls) == {**CONFIGURATION, **ATTEMPT, call: 1}


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize(("rps", "calls"), [(1, 11), (5, 23)])
def test_a_fan_out_takes_eight_calls_and_three_for_each_rp(connect: Connect, rps: int, calls: int) -> None:
    aws = connect(of_fan_out([f"rp-{number}" for number in range(rps)], SID))
    message = EndMessage(PROVIDER.provider, LOGOUT_ID, "run", round(time.time() * 1000), "event", sid=SID)

    answer = load("session_ended").handler(sqs_event("session_ended", [message.to_json()]), CONTEXT)

    assert answer == {"batchItemFailures": []}
    assert aws.calls.total() == calls
    assert dict(aws.calls) == {
        "GetItem providers": 1,  # the provider
        "UpdateItem sessions": 1 + 2 * rps,  # the tombstone; each RP session is claimed and marked
        "GetItem deliveries": 1,  # is the logout done already?
        "Query sessions": 1,
        "UpdateItem deliveries": rps + 2,  # the deliveries; the logout is opened and closed
        "SendMessageBatch delivery": 1,
        "SendMessageBatch session_ended": 1,  # the sweep
    }


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize(("rps", "source", "writes"), [(0, "portal", 1), (0, None, 0), (1, "portal", 0)])
def test_an_end_of_a_source_that_met_nobody_takes_one_more_call(
    connect: Connect, rps: int, source: str | None, writes: int
) -> None:
    aws = connect(of_fan_out([f"rp-{number}" for number in range(rps)], SID))
    message = EndMessage(PROVIDER.provider, LOGOUT_ID, "run", round(time.time() * 1000), "event", sid=SID, source=source)

    answer = load("session_ended").handler(sqs_event("session_ended", [message.to_json()]), CONTEXT)

    assert answer == {"batchItemFailures": []}
    assert aws.calls["UpdateItem source_activity"] == writes


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_a_repeated_end_takes_one_call(connect: Connect) -> None:
    aws = connect(of_repeated_end(SID, ended_at=1_788_256_800_000))
    message = EndMessage(PROVIDER.provider, LOGOUT_ID, "run", 1_788_256_800_000, "event", sid=SID)

    answer = load("session_ended").handler(sqs_event("session_ended", [message.to_json()]), CONTEXT)

    assert answer == {"batchItemFailures": []}
    assert dict(aws.calls) == {"GetItem deliveries": 1}


def test_a_logout_token_takes_eleven_calls_and_the_next_one_seven(connect: Connect) -> None:
    signer = TokenSigner(PROVIDER.issuer)
    source = Source("relay", "logout-token", "", pass_on=True)
    aws = connect(of_logout_token(replace(WIKI, own_tokens=False), source, signer.jwk_set))
    app = load("webhook")

    def send() -> Any:
        event = {
            "pathParameters": {"provider": PROVIDER.provider, "source": source.source},
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            "body": f"logout_token={signer.sign(signer.claims(WIKI.client_id))}",
        }
        return app.handler(event, CONTEXT)

    first_answer, first = send(), dict(aws.calls)
    aws.calls.clear()
    second_answer = send()

    received = {
        "BatchGetItem": 2,  # is the session known? has it ended?
        "UpdateItem sessions": 2,  # the start, by session and by subject
        "UpdateItem deliveries": 1,  # the token is kept
        "SendMessageBatch session_ended": 1,
        "UpdateItem source_activity": 1,  # it is counted
    }
    assert (first_answer["statusCode"], second_answer["statusCode"]) == (200, 200)
    assert first == {**received, "GetItem providers": 3, "GetItem sender_documents": 1}
    assert dict(aws.calls) == received


# --- webhook: counting what a source sends ----------------------------------------------------------------------------

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PORTAL = Source("portal", "standard-webhooks", "backchannel/stack/op/portal")
COUNT = "UpdateItem source_activity"


@pytest.fixture
def webhook(connect: Connect) -> tuple[AwsAnswers, ModuleType]:
    """Return the function in a world with one source, at a time that stands still."""
    aws = connect(of_webhook(PORTAL, SECRET))
    app = load("webhook")
    app.time = SimpleNamespace(time=lambda: 1_788_256_800.0)  # type: ignore[attr-defined]
    return aws, app


def _send(app: ModuleType, kind: str, secret: str = SECRET, source: str = PORTAL.source) -> int:
    at = datetime.fromtimestamp(app.time.time(), UTC)
    body = json.dumps({"type": kind, "timestamp": at.isoformat(), "data": {"sid": secrets.token_hex(4)}})
    headers = {
        "webhook-id": "msg",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg", at, body),
    }
    path = {"provider": PROVIDER.provider, "source": source}
    status: int = app.handler({"pathParameters": path, "headers": headers, "body": body}, CONTEXT)["statusCode"]
    return status


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize(("kind", "queued"), [("session.ended", {"SendMessageBatch session_ended": 1}), ("user.renamed", {})])
def test_an_accepted_webhook_takes_one_call_to_be_counted(
    webhook: tuple[AwsAnswers, ModuleType], kind: str, queued: dict[str, int]
) -> None:
    aws, app = webhook
    _send(app, kind)
    aws.calls.clear()

    status = _send(app, kind)

    assert status == 202
    assert dict(aws.calls) == {**queued, COUNT: 1}


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize(("seconds", "writes"), [(0, 1), (0.999, 1), (1, 2), (3600, 2)])
def test_refusals_take_at_most_one_call_in_a_second(webhook: tuple[AwsAnswers, ModuleType], seconds: float, writes: int) -> None:
    aws, app = webhook
    forger = "whsec_" + "Zm9yZ2Vk" * 4
    now = app.time.time()

    statuses = {_send(app, "session.ended", forger) for _ in range(20)}
    app.time = SimpleNamespace(time=lambda: now + seconds)  # type: ignore[attr-defined]
    statuses.add(_send(app, "session.ended", forger))

    assert statuses == {401}
    assert aws.calls[COUNT] == writes


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_refusals_at_sources_that_do_not_exist_take_no_call(webhook: tuple[AwsAnswers, ModuleType]) -> None:
    aws, app = webhook

    statuses = {_send(app, "session.ended", source=f"nothing-{number}") for number in range(5)}

    assert statuses == {401}
    assert COUNT not in aws.calls
