"""The handlers, each with the event of its trigger."""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.dependencies import Dependencies
from backchannel.api.discovery import Publisher
from backchannel.api.source_intake import DIRECT
from backchannel.api.webhooks import WebhookReceiver
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.secrets import Secrets
from backchannel.aws.sqs import SqsRecord
from backchannel.deliveries.consumer import Handled
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.verdicts import Done
from backchannel.errors import (
    EventTimeInvalidError,
    KeyServiceUnavailable,
    NotFoundError,
    PayloadTooLargeError,
    QueueUnavailable,
    SignatureInvalidError,
    StorageUnavailable,
)
from backchannel.logouts.consumer import FanOutConsumer
from backchannel.logouts.fan_out import FanOut
from backchannel.providers.cache import cached, with_misses
from backchannel.providers.clients import Client
from backchannel.providers.key_rotation import PassResult
from backchannel.providers.silent_sources import SilentSource
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider, Providers
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SessionEnded, logout_id
from backchannel.sessions.handed_on import HandedOn
from backchannel.sessions.intake import Intake
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from backchannel.tokens.documents import Accept, Document, Documents
from backchannel.tokens.locations import Location, Upstream
from backchannel.tokens.probe import PROBE
from backchannel.webhooks.request import Request
from tests.support import deployed
from tests.support.queues import FakeQueue
from tests.support.signing import private_key, ring, signer
from tests.support.uncounted import UNCOUNTED
from tests.unit.conftest import Log
from tests.unit.fakes import EVENTS, Steady, sample

ISSUER = "https://idp.example.test/"
ACME = Provider("acme", ISSUER, ring())
AT = 1_788_256_800_000
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "POWERTOOLS_METRICS_NAMESPACE": "Backchannel",
    "PROVIDERS_TABLE": "providers",
    "SESSIONS_TABLE": "sessions",
    "DELIVERIES_TABLE": "deliveries",
    "CIRCUITS_TABLE": "circuits",
    "FETCHED_DOCUMENTS_TABLE": "fetched-documents",
    "CLIENT_DOCUMENTS_TABLE": "client-documents",
    "SENDER_DOCUMENTS_TABLE": "sender-documents",
    "SOURCE_ACTIVITY_TABLE": "source-activity",
    "CLIENT_COUNTS_TABLE": "client-counts",
    "SESSION_ENDED_QUEUE_URL": "https://sqs.example/session-ended",
    "SOURCE_EVENTS_QUEUE_URL": "https://sqs.example/source-events",
    "SOURCE_EVENTS_DEAD_LETTER_QUEUE_URL": "https://sqs.example/source-events-dead",
    "SESSION_ENDED_DEAD_LETTER_QUEUE_URL": "https://sqs.example/session-ended-dead",
    "DELIVERY_QUEUE_URL": "https://sqs.example/delivery",
    "RETRY_QUEUE_URL": "https://sqs.example/retry",
    "RETRY_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:retry",
    "DELIVERY_DEAD_LETTER_QUEUE_URL": "https://sqs.example/dead",
    "MASS_LOGOUTS_TABLE": "mass-logouts",
    "MASS_LOGOUT_QUEUE_URL": "https://sqs.example/mass-logout",
    "MASS_LOGOUT_DEAD_LETTER_QUEUE_URL": "https://sqs.example/mass-logout-dead",
    "MASS_LOGOUT_ENDED_QUEUE_URL": "https://sqs.example/mass-logout-ended",
    "MASS_LOGOUT_ENDED_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:mass-logout-ended",
    "MASS_DELIVERY_QUEUE_URL": "https://sqs.example/mass-delivery",
    "MASS_DELIVERY_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:mass-delivery",
    "STACK_NAME": "backchannel-dev",
    "ENVIRONMENT": "dev",
    "SESSION_LIFETIME_DAYS": "30",
    "PERMIT_PRIVATE_NETWORKS": "false",
    "PUBLIC_URL": "",
    "EVENTS_OUT_QUEUE_URL": "",
    "EVENTS_OUT_DEAD_LETTER_QUEUE_URL": "https://sqs.example/events-out-dead",
    "EVENT_BUS_NAME": "operators",
    "EVENT_SOURCE": "backchannel.backchannel-dev",
    "KEY_ROTATION_FUNCTION": "key-rotation",
    "DELIVERY_FUNCTION": "delivery",
    "KEY_WAIT": "86400",
    "KEY_GRACE": "86400",
    "DELIVERY_ROLE_ARN": "arn:aws:iam::123456789012:role/delivery",
    "KEY_ROTATION_ROLE_ARN": "arn:aws:iam::123456789012:role/key-rotation",
    "KEY_ADMINISTRATOR_ARN": "",
}

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

type Json = dict[str, Any]
type Load = Callable[..., ModuleType]


class Context(LambdaContext):
    """What Lambda tells a handler about itself."""

    def __init__(self) -> None:
        self._function_name = "function"
        self._memory_limit_in_mb = 512
        self._invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:function"
        self._aws_request_id = "5f6e7d8c-0000-4000-8000-000000000001"


class NoSessions(Sessions):
    """For events that start nothing."""

    def __init__(self) -> None:
        pass


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a function's handler module, and put something else in the place of what it has made."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def module(name: str, **instead: object) -> ModuleType:
        loaded = deployed.load(name)
        for each, value in instead.items():
            assert hasattr(loaded, each)
            setattr(loaded, each, value)
        return loaded

    return module


@pytest.mark.parametrize("path", sorted(EVENTS.glob("sqs-*.json")), ids=lambda path: path.stem)
def test_every_body_in_a_sample_batch_is_a_message_of_ours(path: Any) -> None:
    kinds: dict[str, type[EndMessage | DeliveryMessage]] = {
        "sqs-session_ended": EndMessage,
        "sqs-delivery": DeliveryMessage,
    }
    kind = kinds[path.stem]

    messages = [kind.from_json(record["body"]) for record in sample(path.name)["Records"]]

    assert {message.provider for message in messages} == {"acme"}


# --- webhook ----------------------------------------------------------------------------------------------------------


def _unknown(*names: str) -> Any:
    raise NotFoundError.of("provider, source or client", names[-1])


PORTAL = Source("portal", "standard-webhooks", "backchannel-dev/acme/portal")


def _webhook(
    load: Load,
    queue: FakeQueue,
    provider: Callable[[str], Provider] = lambda _: ACME,
    source: Callable[[str, str], Source] = lambda *_: PORTAL,
) -> ModuleType:
    receiver = WebhookReceiver(
        provider=provider,
        source=source,
        client=_unknown,
        secrets=cast("Secrets", SimpleNamespace(get=lambda _: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])),
        intake=Intake(NoSessions(), queue),
        sender_keys=_unknown,
        counter=UNCOUNTED,
    )
    return load("webhook", receiver=receiver, time=SimpleNamespace(time=lambda: AT / 1000 + 2))


@pytest.mark.usefixtures("no_metrics")
def test_a_proven_webhook_has_its_end_queued_before_it_is_answered(load: Load) -> None:
    queue = FakeQueue()

    answer = _webhook(load, queue).handler(sample("api-webhook.json"), Context())

    assert answer["statusCode"] == 202
    assert json.loads(answer["body"]) == {"started": 0, "ended": 1, "ignored": 0}
    (message,) = [EndMessage.from_json(message.body) for message in queue.sent]
    assert message.event == SessionEnded("sid-0001", AT + 999, "msg_0001", reason=Reason.LOGOUT)
    assert message.logout_id == logout_id(ISSUER, message.event)


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"body": '{"type": "session.ended"}'}, 401, "signature_invalid"),
        ({"headers": {}, "multiValueHeaders": {}}, 401, "signature_invalid"),
        ({"headers": None, "multiValueHeaders": None, "body": None}, 401, "signature_invalid"),
        ({"body": "a" * 2_000_000}, 401, "signature_invalid"),
        ({"body": "a" * 5_000_000}, 413, "payload_too_large"),
    ],
)
def test_an_unproven_webhook_queues_nothing(load: Load, change: dict[str, Any], status: int, code: str) -> None:
    queue = FakeQueue()

    answer = _webhook(load, queue).handler(sample("api-webhook.json") | change, Context())

    assert answer["statusCode"] == status
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert json.loads(answer["body"])["code"] == code
    assert queue.sent == []


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize(("ends", "calls"), [(DIRECT, 0), (DIRECT + 1, 1), (1_000, 1)])
def test_a_large_batch_is_handed_on_with_few_calls_and_a_small_one_is_not(load: Load, ends: int, calls: int) -> None:
    sqs, direct = Mock(send_message_batch=Mock(return_value={})), FakeQueue()
    function = _webhook(load, direct)
    function.sqs = sqs  # type: ignore[attr-defined]
    receiver = replace(function.receiver, hand_on=function.hand_on)
    function.receiver = receiver  # type: ignore[attr-defined]
    events = [
        {"id": str(number), "type": "session.ended", "timestamp": "2026-09-01T08:00:00Z", "data": {"sid": f"sid-{number}"}}
        for number in range(ends)
    ]
    body = json.dumps({"events": events})
    now = str(AT // 1000 + 2)
    mac = hmac.digest(b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), f"msg_1.{now}.{body}".encode(), "sha256")
    headers = {"webhook-id": "msg_1", "webhook-timestamp": now, "webhook-signature": f"v1,{b64encode(mac).decode()}"}
    event = {"pathParameters": {"provider": "acme", "source": "portal"}, "headers": headers, "body": body}

    answer = function.handler(event, Context())

    assert (answer["statusCode"], json.loads(answer["body"])) == (202, {"started": 0, "ended": ends, "ignored": 0})
    assert sqs.send_message_batch.call_count == calls
    sent = [entry["MessageBody"] for call in sqs.send_message_batch.call_args_list for entry in call.kwargs["Entries"]]
    handed_on = [event for each in sent for event in HandedOn.read(json.loads(each)).events]
    assert len(handed_on) == (ends if calls else 0)
    assert len(direct.sent) == (0 if calls else ends)


@pytest.mark.usefixtures("no_metrics")
def test_a_message_that_cannot_be_stored_is_reported_and_the_others_leave_the_queue(load: Load) -> None:
    consumer = SimpleNamespace(handle=lambda record: record.body != "bad")
    event = deployed.sqs_event("source_events", ["good", "bad", "good"])

    answer = load("source_events", consumer=consumer).handler(event, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}


UNPROVEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unknown provider": ({"provider": _unknown}, {}),
    "unknown source": ({"source": _unknown}, {}),
    "bad signature": ({}, {"body": "{}"}),
    "no signature": ({}, {"headers": {}, "multiValueHeaders": None}),
    "old timestamp": ({}, {"multiValueHeaders": {"webhook-timestamp": ["1788200000"]}}),
    "cognito: not over HTTP": ({"source": lambda *_: Source("trail", "cognito", None)}, {}),
    "keycloak: bad signature": ({"source": lambda *_: Source("keycloak", "keycloak", "secret")}, {}),
}


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize("name", UNPROVEN)
def test_who_cannot_prove_himself_does_not_learn_whether_there_is_such_a_source(
    load: Load, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration, change = UNPROVEN[name]
    counted = Mock(wraps=hmac.digest)
    monkeypatch.setattr(hmac, "digest", counted)
    event = sample("api-webhook.json") | change

    answer = _webhook(load, FakeQueue(), **configuration).handler(event, Context())

    assert answer == _webhook(load, FakeQueue(), provider=_unknown).handler(sample("api-webhook.json"), Context())
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (401, "signature_invalid")
    assert counted.call_count == 2, "one computation for each of the two requests"


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize("missing", [(), ("provider",), ("source",), ("provider", "source")])
def test_provider_and_source_are_both_looked_up_whichever_is_missing(load: Load, missing: tuple[str, ...]) -> None:
    provider = Mock(side_effect=_unknown if "provider" in missing else None, return_value=ACME)
    source = Mock(side_effect=_unknown if "source" in missing else None, return_value=PORTAL)

    caches = {"provider": cached(with_misses(provider)), "source": cached(with_misses(source))}
    _webhook(load, FakeQueue(), **caches).handler(sample("api-webhook.json"), Context())

    assert (provider.call_count, source.call_count) == (1, 1)


@pytest.mark.usefixtures("no_metrics")
def test_a_webhook_of_nobody_that_is_repeated_costs_no_second_read(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Mock(return_value=None)
    monkeypatch.setattr(Providers, "_read", read)
    function = load("webhook")

    for _ in range(3):
        function.handler(sample("api-webhook.json"), Context())

    assert read.call_count == 2, "the provider and the source, once each"


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize(("name", "why"), [("unknown source", "no provider, source"), ("old timestamp", "too far from now")])
def test_the_log_says_why_a_webhook_was_not_proven(load: Load, log: Log, name: str, why: str) -> None:
    configuration, change = UNPROVEN[name]

    _webhook(load, FakeQueue(), **configuration).handler(sample("api-webhook.json") | change, Context())

    assert why in log.lines[-1]["detail"]


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize(("provider", "source"), [("x" * 2100, "x"), ("-", "x"), ("acme", "x" * 2100), ("acme", "x#y")])
def test_a_webhook_of_a_name_that_cannot_exist_is_refused_without_a_look(
    load: Load, log: Log, provider: str, source: str
) -> None:
    function = load("webhook")  # with its real tables, of which no socket leads to any
    if provider == "acme":
        function.receiver = replace(function.receiver, provider=lambda _: ACME)  # type: ignore[attr-defined]
    event = sample("api-webhook.json") | {"pathParameters": {"provider": provider, "source": source}}

    answer = function.handler(event, Context())

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (401, "signature_invalid")
    assert "x" * 65 not in log.text
    assert "x" * 65 not in answer["body"]


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_webhook_is_refused_whoever_sent_it(load: Load, encoding: str) -> None:
    event = sample("api-webhook.json")
    event["multiValueHeaders"]["Content-Encoding"] = [encoding]

    answer = _webhook(load, FakeQueue(), provider=_unknown).handler(event, Context())

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (415, "content_encoding_unsupported")


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize("client_id", ["account-console", "security-admin-console"])
@pytest.mark.parametrize("is_registered", [True, False])
def test_a_login_at_keycloaks_own_consoles_is_ignored_unless_they_are_registered(
    client_id: str,
    is_registered: bool,  # noqa: FBT001 - a row of the table
) -> None:
    stored: list[RpSessionStarted] = []
    sessions = cast("Sessions", SimpleNamespace(start=lambda _, started, __: stored.append(started)))
    document = sample("keycloak-p2inc-access.CODE_TO_TOKEN.json")
    document["authDetails"]["clientId"] = client_id
    document |= {"time": AT, "realmName": "test"}
    body = json.dumps(document)
    signature = hmac.digest(b"kc-synthetic", body.encode(), "sha256").hex()
    receiver = WebhookReceiver(
        provider=lambda _: ACME,
        source=lambda *_: Source("keycloak", "keycloak", "secret"),
        client=(lambda *_: Client(client_id)) if is_registered else _unknown,
        secrets=cast("Secrets", SimpleNamespace(get=lambda _: ["kc-synthetic"])),
        intake=Intake(sessions, FakeQueue()),
        sender_keys=_unknown,
        counter=UNCOUNTED,
    )

    received = receiver.receive("acme", "keycloak", Request(body.encode(), {"x-keycloak-signature": signature}), AT)

    assert received.counts == {"started": int(is_registered), "ended": 0, "ignored": int(not is_registered)}
    assert [each.client_id for each in stored] == [client_id] * is_registered


def _receiver(source: Source, queue: FakeQueue, *secrets: str) -> WebhookReceiver:
    return WebhookReceiver(
        provider=lambda _: ACME,
        source=lambda *_: source,
        client=_unknown,
        secrets=cast("Secrets", SimpleNamespace(get=lambda _: list(secrets))),
        intake=Intake(NoSessions(), queue),
        sender_keys=_unknown,
        counter=UNCOUNTED,
    )


PUBLIC_KEY = "whpk_" + "A" * 43 + "="


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("bearer", {"authorization": f"Bearer {PUBLIC_KEY}"}),
        ("keycloak", {"x-keycloak-signature": hmac.digest(PUBLIC_KEY.encode(), b"{}", "sha256").hex()}),
    ],
)
def test_the_public_key_of_a_source_s_former_format_proves_nothing(name: str, headers: dict[str, str]) -> None:
    receiver = _receiver(Source("portal", name, "secret"), FakeQueue(), PUBLIC_KEY)

    with pytest.raises(SignatureInvalidError):
        receiver.receive("acme", "portal", Request(b"{}", headers), AT)


def test_the_secret_of_another_format_is_answered_as_a_wrong_one() -> None:
    headers = {"webhook-id": "msg", "webhook-timestamp": str(AT // 1000), "webhook-signature": "v1,AAAA"}
    receiver = _receiver(PORTAL, FakeQueue(), "a secret of Keycloak's")

    with pytest.raises(SignatureInvalidError):
        receiver.receive("acme", "portal", Request(b"{}", headers), AT)


@pytest.mark.usefixtures("no_metrics")
def test_a_representation_of_a_megabyte_does_not_lose_keycloaks_event() -> None:
    document = sample("keycloak-p2inc-admin.USER-UPDATE-disabled.json") | {"time": AT, "realmName": "test"}
    document["representation"] = json.dumps({"enabled": False, "attributes": {"a": ['"'] * 350_000}})
    body = json.dumps(document).encode()
    signature = hmac.digest(b"kc-synthetic", body, "sha256").hex()
    queue = FakeQueue()

    received = _receiver(Source("keycloak", "keycloak", "secret"), queue, "kc-synthetic").receive(
        "acme", "keycloak", Request(body, {"x-keycloak-signature": signature}), AT
    )

    assert len(body) > 2_000_000
    assert (received.counts["ended"], len(queue.sent)) == (1, 1)


STATIC = "a-static-secret-of-32-characters"
BEARER = Source("pingam", "bearer", "secret")


def _bearer(at: str, padding: str = "") -> Request:
    document = sample("pingam-logout-webhook.json") | {"timestamp": at, "padding": padding}
    return Request(json.dumps(document).encode(), {"authorization": f"Bearer {STATIC}"})


@pytest.mark.usefixtures("no_metrics")
def test_an_event_with_a_static_header_is_answered_200() -> None:
    queue = FakeQueue()

    received = _receiver(BEARER, queue, STATIC).receive("acme", "pingam", _bearer("2026-09-01T10:00:00.000Z"), AT + 3_600_000)

    assert (received.status, received.counts["ended"]) == (200, 1)
    (message,) = [EndMessage.from_json(message.body) for message in queue.sent]
    assert isinstance(message.event, SessionEnded)
    assert (message.event.sid, message.event.source_event_id) == ("5e550000-0000-4000-8000-000000000001", "5e55-ended")


@pytest.mark.usefixtures("no_metrics")
def test_an_old_event_with_a_static_header_is_refused() -> None:
    queue = FakeQueue()

    with pytest.raises(EventTimeInvalidError, match="older than 3600 seconds"):
        _receiver(BEARER, queue, STATIC).receive("acme", "pingam", _bearer("2026-09-01T10:00:00.000Z"), AT + 3_600_001)

    assert queue.sent == []


@pytest.mark.usefixtures("no_metrics")
def test_a_proven_body_that_is_too_large_for_its_format_is_refused() -> None:
    with pytest.raises(PayloadTooLargeError):
        _receiver(BEARER, FakeQueue(), STATIC).receive("acme", "pingam", _bearer("2026-09-01T10:00:00Z", "x" * 1_048_576), AT)


@pytest.mark.usefixtures("no_metrics")
def test_a_source_hands_its_settings_to_its_format(load: Load) -> None:
    queue = FakeQueue()
    source = replace(PORTAL, unmatched_sid="end_subject", require_iss=True)

    answer = _webhook(load, queue, source=lambda *_: source).handler(sample("api-webhook.json"), Context())

    assert answer["statusCode"] == 202
    (message,) = [EndMessage.from_json(message.body) for message in queue.sent]
    assert message.unmatched_sub == "ada"


@pytest.mark.usefixtures("no_metrics")
def test_a_webhook_that_cannot_be_queued_is_to_be_sent_again(load: Load) -> None:
    answer = _webhook(load, FakeQueue(broken=True)).handler(sample("api-webhook.json"), Context())

    assert answer["statusCode"] == 503
    assert answer["headers"]["Retry-After"]


@pytest.mark.usefixtures("no_metrics")
def test_no_log_line_of_a_webhook_has_its_subject_session_or_secret_in_it(load: Load, log: Log) -> None:
    _webhook(load, FakeQueue()).handler(sample("api-webhook.json"), Context())

    assert "webhook.received" in log.text
    assert not [secret for secret in ("sid-0001", '"ada"', "whsec_", "v1,") if secret in log.text]


# --- session_ended ----------------------------------------------------------------------------------------------------


class FakeFanOut:
    """Carries out what it is given, or raises."""

    def __init__(self, result: bool | Exception) -> None:  # noqa: FBT001 - what carry_out returns
        self.result = result
        self.messages: list[EndMessage] = []

    def carry_out(self, message: EndMessage, **_: object) -> bool:
        self.messages.append(message)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def _session_ended(load: Load, fan_out: FakeFanOut, queue: FakeQueue, dead: FakeQueue | None = None) -> ModuleType:
    dead_letters = DeadLetters(dead or FakeQueue())
    return load("session_ended", consumer=FanOutConsumer(cast("FanOut", fan_out), queue, dead_letters, rng=Steady()))


@pytest.mark.usefixtures("no_metrics")
def test_an_ended_session_that_is_carried_out_leaves_its_queue(load: Load) -> None:
    fan_out, queue = FakeFanOut(result=True), FakeQueue()

    answer = _session_ended(load, fan_out, queue).handler(sample("sqs-session_ended.json"), Context())

    assert answer == {"batchItemFailures": []}
    assert [message.event for message in fan_out.messages] == [SessionEnded("sid-0001", AT, "msg_0001", reason=Reason.LOGOUT)]
    assert queue.given_back == []


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize(("result", "delay"), [(False, 0), (StorageUnavailable("throttled"), 10_000)])
def test_an_ended_session_that_is_not_finished_comes_back(load: Load, result: bool | Exception, delay: int) -> None:  # noqa: FBT001 - a row of the table
    event, queue = sample("sqs-session_ended.json"), FakeQueue()
    (record,) = event["Records"]

    answer = _session_ended(load, FakeFanOut(result), queue).handler(event, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert queue.given_back == [(record["receiptHandle"], delay)]


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize("is_broken", [False, True])
def test_an_ended_session_that_nobody_understands_is_a_dead_letter_at_once_or_stays(load: Load, is_broken: bool) -> None:  # noqa: FBT001 - a row of the table
    event, fan_out, dead = sample("sqs-session_ended.json"), FakeFanOut(result=True), FakeQueue(broken=is_broken)
    event["Records"][0]["body"] = "garbage"

    answer = _session_ended(load, fan_out, FakeQueue(), dead).handler(event, Context())

    assert [message.body for message in dead.sent] == ([] if is_broken else ["garbage"])
    assert len(answer["batchItemFailures"]) == is_broken
    assert fan_out.messages == []


@pytest.mark.usefixtures("no_metrics")
def test_an_ended_session_of_a_provider_that_is_gone_leaves_its_queue(load: Load) -> None:
    fan_out = FakeFanOut(NotFoundError("no provider 'acme'"))

    answer = _session_ended(load, fan_out, FakeQueue()).handler(sample("sqs-session_ended.json"), Context())

    assert answer == {"batchItemFailures": []}


# --- delivery ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_metrics")
def test_of_a_batch_only_what_stays_is_reported(load: Load) -> None:
    event = sample("sqs-delivery.json")
    _, waits, _ = [record["messageId"] for record in event["Records"]]
    consumer = SimpleNamespace(handle=lambda record: Handled(record.message_id, Done(), stays=record.message_id == waits))

    answer = load("delivery", consumer=consumer).handler(event, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": waits}]}


@pytest.mark.usefixtures("no_metrics")
def test_with_an_event_bus_a_batch_is_announced_and_what_cannot_be_stays(load: Load) -> None:
    event = sample("sqs-delivery.json")
    first, *_ = [record["messageId"] for record in event["Records"]]
    batches: list[Any] = []

    def announced(batch: list[tuple[SqsRecord, Handled]], announcer: object, *, time_left: int) -> list[Handled]:
        assert time_left == Context().get_remaining_time_in_millis()
        batches.append(([record.message_id for record, _ in batch], announcer))
        return [replace(handled, stays=handled.message_id == first, unannounced=True) for _, handled in batch]

    consumer = SimpleNamespace(handle=lambda record: Handled(record.message_id, Done()), announced=announced)

    answer = load("delivery", consumer=consumer, announcer="announcer").handler(event, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": first}]}
    assert batches == [([record["messageId"] for record in event["Records"]], "announcer")]


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("url", ["", "https://sqs.example/events-out"])
def test_who_announces_does_so_if_there_is_an_event_bus(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("EVENTS_OUT_QUEUE_URL", url)

    delivery, session_ended, key_rotation = (deployed.load(name) for name in ("delivery", "session_ended", "key_rotation"))

    made = (delivery.announcer, session_ended.consumer.fan_out.announcer, key_rotation.new_signers)
    assert [each is not None for each in made] == [bool(url)] * 3


# --- events_out -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_metrics")
def test_what_the_bus_does_not_take_is_reported(load: Load) -> None:
    event = sample("sqs-delivery.json")
    consumer = SimpleNamespace(handle=lambda records: records[1:])

    answer = load("events_out", consumer=consumer).handler(event, Context())

    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == [
        record["messageId"] for record in event["Records"][1:]
    ]


# --- admin ------------------------------------------------------------------------------------------------------------


def _admin(load: Load, queue: FakeQueue) -> ModuleType:
    def get(name: str) -> Provider:
        if name != "acme":
            raise NotFoundError(f"no provider {name!r}")
        return ACME

    using = SimpleNamespace(
        providers=SimpleNamespace(get=get),
        logouts=SimpleNamespace(open=lambda *_, **__: None),
        intake=Intake(NoSessions(), queue),
        permit_private_networks=False,
    )
    return load("admin", dependencies=cast("Dependencies", using))


def test_a_logout_that_the_operator_asks_for_is_queued_and_can_be_followed(load: Load) -> None:
    queue = FakeQueue()

    answer = _admin(load, queue).handler(sample("api-admin.json"), Context())

    assert answer["statusCode"] == 202
    (message,) = [EndMessage.from_json(message.body) for message in queue.sent]
    assert (message.sid, message.reason) == ("sid-0001", "admin_logout")
    assert json.loads(answer["body"]) == {"logout_id": message.logout_id}


@pytest.mark.parametrize(
    ("reason", "read"),
    [('"logout"', "logout"), ('" Compromised"', "compromised"), ('"left the company"', "admin_logout"), ("null", "admin_logout")],
)
def test_an_operators_own_words_are_those_of_an_administrator(reason: str, read: str, load: Load) -> None:
    queue = FakeQueue()

    _admin(load, queue).handler(sample("api-admin.json") | {"body": f'{{"sid": "sid-1", "reason": {reason}}}'}, Context())

    (message,) = [EndMessage.from_json(message.body) for message in queue.sent]
    assert message.reason == read


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"body": '{"sid": "sid-1", "misspelt": 1}'}, 400, "malformed_request"),
        ({"body": "{"}, 400, "malformed_request"),
        ({"body": "{}"}, 400, "malformed_request"),
        ({"body": '{"sid": "sid-1", "sub": "ada"}'}, 400, "malformed_request"),
        ({"body": "[" * 100_000}, 400, "malformed_request"),
        ({"body": f'{{"sid": {"1" * 5000}}}'}, 400, "malformed_request"),
        ({"body": '{"sid": "sid-1", "reason": "\\ud800"}'}, 400, "malformed_request"),
        ({"body": '{"sid": "sid-1", "\\udfff": 1}'}, 400, "malformed_request"),
        ({"body": '{"sid": "tab\\t"}'}, 400, "identifier_invalid"),
        ({"path": "/providers/other/logouts"}, 404, "not_found"),
        ({"path": "/providers/acme/nothing"}, 404, "not_found"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_a_problem_document(
    load: Load, change: dict[str, Any], status: int, code: str
) -> None:
    queue = FakeQueue()

    answer = _admin(load, queue).handler(sample("api-admin.json") | change, Context())

    assert answer["statusCode"] == status
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    assert json.loads(answer["body"])["code"] == code
    assert queue.sent == []


@pytest.mark.parametrize("misplaced", ["misspelt", "whsec_not/for/anybody"])
def test_a_refused_secret_is_not_repeated_even_as_a_members_name(load: Load, log: Log, misplaced: str) -> None:
    secret = "whsec_not/for/anybody"
    event = sample("api-admin.json") | {
        "path": "/providers/acme/sources/portal",
        "httpMethod": "PUT",
        "body": json.dumps({"format": "standard-webhooks", "secret": secret, "previous_secret": [secret], misplaced: secret}),
    }

    answer = _admin(load, FakeQueue()).handler(event, Context())

    assert answer["statusCode"] == 400
    assert {error["at"] for error in json.loads(answer["body"])["errors"]} == {"body/previous_secret", "body/*"}
    assert secret not in answer["body"] + log.text
    assert misplaced not in answer["body"] + log.text


# --- discovery --------------------------------------------------------------------------------------------------------

METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}auth",
    "token_endpoint": f"{ISSUER}token",
    "jwks_uri": f"{ISSUER}jwks",
    "response_types_supported": ["code"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
}
THEIRS = {"kty": "RSA", "n": "sXch", "e": "AQAB", "kid": "theirs"}
WITH_UPSTREAM = replace(ACME, upstream=Upstream(discovery=f"{ISSUER}.well-known/openid-configuration"))


@dataclass(frozen=True, slots=True)
class Copies:
    """Stands in for ``Documents``."""

    keys: Sequence[dict[str, Any]] = (THEIRS,)
    failure: str | None = None

    def get(self, location: Location, accept: Accept) -> Document:
        content = {"keys": list(self.keys)} if location.uri.endswith("jwks") else METADATA
        accept(content)
        return Document(content, AT, self.failure)


def _discovery(load: Load, provider: Provider = ACME, documents: Copies | None = None) -> ModuleType:
    publisher = Publisher(lambda _: provider, cast("Documents", documents or Copies()))
    return load("discovery", publisher=publisher)


def _asks(document: str = "jwks.json", **headers: str) -> Json:
    """Return the event of a request to discovery."""
    event: Json = sample("api-discovery.json")
    path = f"/providers/acme/{document}"
    event["requestContext"]["path"] = f"/live{path}"
    event["headers"] |= headers
    event["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    return event | {"path": path}


def test_the_published_keys_are_those_of_the_ring_and_may_be_cached(load: Load) -> None:
    answer = _discovery(load).handler(_asks(), Context())

    assert answer["statusCode"] == 200
    assert [key["kid"] for key in json.loads(answer["body"])["keys"]] == [key.kid for key in ring()]
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
    assert answer["multiValueHeaders"]["Cache-Control"] == ["public, max-age=60, stale-if-error=1800"]


def test_the_providers_own_keys_are_published_with_ours(load: Load) -> None:
    answer = _discovery(load, WITH_UPSTREAM).handler(_asks(), Context())

    assert [key["kid"] for key in json.loads(answer["body"])["keys"]] == ["theirs", *(key.kid for key in ring())]


@pytest.mark.parametrize("quoted", ["{}", "W/{}", '"other", {}', "*"])
def test_whoever_has_the_keys_is_not_sent_them_again(load: Load, quoted: str) -> None:
    function = _discovery(load)
    etag = function.handler(_asks(), Context())["multiValueHeaders"]["ETag"][0]

    answer = function.handler(_asks(**{"If-None-Match": quoted.format(etag)}), Context())

    assert answer["statusCode"] == 304
    assert not answer["body"]
    assert answer["multiValueHeaders"]["ETag"] == [etag]
    assert "Content-Type" not in answer["multiValueHeaders"]


@pytest.mark.parametrize("document", ["jwks.json", ".well-known/openid-configuration", "nothing"])
@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}], ids=["all", "validated"])
def test_head_is_get_without_the_body(load: Load, document: str, headers: dict[str, str]) -> None:
    function = _discovery(load, WITH_UPSTREAM)

    get = function.handler(_asks(document, **headers), Context())
    head = function.handler(_asks(document, **headers) | {"httpMethod": "HEAD"}, Context())

    assert head == get | {"body": ""}


@pytest.mark.parametrize(
    ("context", "public_url", "base"),
    [
        ({"domainName": "a1.example.com", "path": "/live{path}"}, "", "https://a1.example.com/live"),
        ({"domainName": "keys.example.com", "path": "{path}"}, "", "https://keys.example.com"),
        ({"domainName": "keys.example.com", "path": "/logout{path}"}, "", "https://keys.example.com/logout"),
        ({"domainName": "a1.example.com", "path": "/live{path}"}, "https://op.example/logout", "https://op.example/logout"),
        ({"path": "/live{path}"}, "http://127.0.0.1:20000/api", "http://127.0.0.1:20000/api"),
    ],
)
def test_the_discovery_document_names_our_jwks_where_it_was_asked_for(
    load: Load, monkeypatch: pytest.MonkeyPatch, context: dict[str, str], public_url: str, base: str
) -> None:
    function = _discovery(load, WITH_UPSTREAM)
    monkeypatch.setattr(function, "settings", replace(function.settings, public_url=public_url))
    event = _asks(".well-known/openid-configuration")
    path = context["path"].format(path=event["path"])
    event |= {"path": path.removeprefix("/live"), "requestContext": {**context, "path": path}}

    answer = function.handler(event, Context())

    assert json.loads(answer["body"]) == METADATA | {
        "jwks_uri": f"{base}/providers/acme/jwks.json",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]


@pytest.mark.parametrize("name", ["providers", "jwks.json"])
def test_a_provider_may_have_the_name_of_a_part_of_the_path(load: Load, name: str) -> None:
    event = _asks() | {"path": f"/logout/providers/{name}/jwks.json"}
    asked: list[str] = []
    publisher = Publisher(lambda name: asked.append(name) or ACME, cast("Documents", Copies()))  # type: ignore[func-returns-value]

    assert load("discovery", publisher=publisher).handler(event, Context())["statusCode"] == 200
    assert asked == [name]


@pytest.mark.parametrize("upstream", [None, Upstream(jwks_uri=f"{ISSUER}jwks")])
def test_without_the_providers_document_there_is_none_but_advice(load: Load, upstream: Upstream | None) -> None:
    function = _discovery(load, replace(ACME, upstream=upstream))

    answer = function.handler(_asks(".well-known/openid-configuration"), Context())

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "discovery_not_configured")
    assert "upstream.discovery" in json.loads(answer["body"])["detail"]
    assert answer["multiValueHeaders"]["Cache-Control"] == ["no-store"]


@pytest.mark.usefixtures("no_metrics")
def test_a_copy_that_is_served_for_want_of_a_newer_one_is_counted(
    load: Load, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _discovery(load, WITH_UPSTREAM, Copies(failure="connect_failed: refused")).handler(_asks(), Context())

    assert answer["statusCode"] == 200
    assert json.loads(capsys.readouterr().out)["UpstreamStale"] == [1.0, 1.0], "discovery document and JWKS"
    stale = [line for line in log.lines if line["message"] == "upstream.stale"]
    assert [(line["uri"], line["failure"], line["fetched_at"]) for line in stale] == [
        (f"{ISSUER}{name}", "connect_failed: refused", AT) for name in (".well-known/openid-configuration", "jwks")
    ]


@pytest.mark.usefixtures("no_metrics")
def test_a_kid_clash_is_reported_and_no_keys_are_served(load: Load, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    kid = ring()[0].kid

    answer = _discovery(load, WITH_UPSTREAM, Copies([{**THEIRS, "kid": kid}])).handler(_asks(), Context())

    document = json.loads(answer["body"])
    assert (answer["statusCode"], document["code"]) == (503, "kid_clash")
    assert kid in document["detail"]
    assert answer["multiValueHeaders"]["Cache-Control"] == ["no-store"]
    assert json.loads(capsys.readouterr().out)["KidClashes"] == [1.0]
    assert [line["code"] for line in log.lines if line["message"] == "request.failed"] == ["kid_clash"]


@pytest.mark.parametrize("document", ["jwks.json", ".well-known/openid-configuration"])
def test_a_name_that_cannot_exist_has_no_documents_without_a_look(load: Load, document: str) -> None:
    event = sample("api-discovery.json") | {"path": f"/providers/{'x' * 2100}/{document}"}

    answer = load("discovery").handler(event, Context())  # with its real table, to which no socket leads

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "not_found")


# --- session_expiry ---------------------------------------------------------------------------------------------------


def test_a_scheduled_pass_ends_what_has_expired(load: Load) -> None:
    expiry_pass = SimpleNamespace(run=lambda **_: 3)

    answer = load("session_expiry", expiry_pass=expiry_pass).handler(sample("schedule-session_expiry.json"), Context())

    assert answer == {"ended": 3}


# --- source_silence ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_metrics")
def test_a_check_says_which_sources_are_silent_and_how_many(load: Load, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    silent = [SilentSource("acme", "portal", 300, AT), SilentSource("acme", "keycloak", 600, None)]
    check = SimpleNamespace(run=lambda _: silent)

    load("source_silence", check=check).handler(sample("schedule-source_silence.json"), Context())

    lines = [line for line in log.lines if line["message"] == "source.silent"]
    assert [(line["provider"], line["source"], line.get("last_event_at")) for line in lines] == [
        ("acme", "portal", AT),
        ("acme", "keycloak", None),
    ]
    assert json.loads(capsys.readouterr().out)["SourcesSilent"] == [2.0]


# --- key_rotation -----------------------------------------------------------------------------------------------------


@dataclass
class RecordedRotation:
    """In the place of the function's rotation."""

    result: PassResult = field(default_factory=lambda: PassResult(1, [], [], []))
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def ensure(self, *args: Any) -> None:
        self.calls.append(("ensure", *args))

    def begin(self, *args: Any) -> None:
        self.calls.append(("begin", *args))

    def withdraw(self, *args: Any) -> None:
        self.calls.append(("withdraw", *args))

    def run(self) -> PassResult:
        self.calls.append(("run",))
        return self.result


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize(
    ("event", "call"),
    [
        ({"do": "ensure", "provider": "op", "alg": "ES256"}, ("ensure", "op", "ES256")),
        ({"do": "begin", "provider": "op", "algs": ["ES256"]}, ("begin", "op", ["ES256"])),
        ({"do": "withdraw", "provider": "op", "kid": "one"}, ("withdraw", "op", "one")),
        ({}, ("run",)),
    ],
)
def test_the_function_does_what_it_is_asked_for(load: Load, event: dict[str, Any], call: tuple[Any, ...]) -> None:
    recorded = RecordedRotation()

    load("key_rotation", rotation=recorded).handler(event, Context())

    assert recorded.calls == [call]


@pytest.mark.usefixtures("no_metrics")
def test_a_pass_that_failed_for_a_provider_fails_after_all_others_and_says_for_which(
    load: Load, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = RecordedRotation(PassResult(2, [("op", StorageUnavailable("ThrottlingException"))], ["arn:changed"], ["arn:lost"]))

    with pytest.raises(KeyServiceUnavailable):
        load("key_rotation", rotation=recorded).handler({}, Context())

    said = {line["message"]: line for line in log.lines}
    assert (said["keys.not_rotated"]["provider"], said["keys.not_rotated"]["code"]) == ("op", "storage_unavailable")
    assert said["key.policy_changed"]["kms_key_arn"] == "arn:changed"
    assert said["key.left_over"]["kms_key_arn"] == "arn:lost"
    assert '"KeyPoliciesChanged":[1.0]' in capsys.readouterr().out.replace(" ", "")


@dataclass
class FakeNewSigners:
    error: Exception | None = None
    announced: list[list[str]] = field(default_factory=list)

    def announce(self, names: list[str]) -> None:
        self.announced.append(names)
        if self.error is not None:
            raise self.error


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize("event", [{"do": "ensure", "provider": "op", "alg": "ES256"}, {}], ids=["asked for", "a pass"])
def test_keys_that_begin_to_sign_are_announced_after_each_change(load: Load, event: Json) -> None:
    signers = FakeNewSigners()
    providers = SimpleNamespace(names=lambda: ["op"])

    load("key_rotation", rotation=RecordedRotation(), new_signers=signers, providers=providers).handler(event, Context())

    assert signers.announced == [["op"]]


@pytest.mark.usefixtures("no_metrics")
def test_a_key_that_cannot_be_announced_fails_a_pass_and_nobody_who_asked_for_it(load: Load, log: Log) -> None:
    signers, providers = FakeNewSigners(QueueUnavailable("AccessDenied")), SimpleNamespace(names=lambda: ["op"])
    function = load("key_rotation", rotation=RecordedRotation(), new_signers=signers, providers=providers)

    function.handler({"do": "withdraw", "provider": "op", "kid": "one"}, Context())
    with pytest.raises(QueueUnavailable):
        function.handler({}, Context())

    assert "keys.not_announced" in [line["message"] for line in log.lines]


# --- delivery is asked whether a key signs ------------------------------------------------------------------------------


def test_delivery_shows_that_a_key_signs_and_signs_nothing_that_it_is_given(load: Load) -> None:
    function = load("delivery", signer=signer())

    answer = function.handler({"probe": {"kms_key_arn": "arn:aws:kms:key/EdDSA", "alg": "EdDSA"}}, Context())

    private_key("EdDSA").public_key().verify(b64decode(answer["signature"]), PROBE)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        function.handler({"probe": {"kms_key_arn": "arn", "alg": "EdDSA", "octets": "a token"}}, Context())
