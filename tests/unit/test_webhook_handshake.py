"""The function `webhook`, asked whether it is the address of a receiver, and where success has no body."""

import hmac
import json
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from backchannel.api.webhooks import WebhookReceiver
from backchannel.aws.secrets import Secrets
from backchannel.errors import NotFoundError
from backchannel.providers.sources import Source
from backchannel.sessions.intake import Intake
from backchannel.sessions.messages import EndMessage
from tests.support.queues import FakeQueue
from tests.support.uncounted import UNCOUNTED
from tests.unit.conftest import Log
from tests.unit.fakes import sample
from tests.unit.test_functions import ACME, ISSUER, Context, Load, NoSessions, load

__all__ = ["load"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:No application metrics to publish"),
    pytest.mark.usefixtures("no_metrics"),
]

AT = 1_788_249_600
SECRET = "Bearer a-whole-header-of-more-characters"
CHALLENGE = "synthetic-challenge-value"
HOOK = Source("hook", "okta", "backchannel-dev/acme/hook")
LOGOUT = Source("ul", "okta-universal-logout", None, audience="https://api.example/webhooks/acme/ul")


def _unknown(*names: str) -> Any:
    raise NotFoundError.of("provider, source or client", names[-1])


def _receiving(load: Load, queue: FakeQueue, source: Callable[[str, str], Source], **verified: Any) -> ModuleType:
    receiver = WebhookReceiver(
        provider=lambda _: ACME,
        source=source,
        client=_unknown,
        secrets=cast("Secrets", SimpleNamespace(get=lambda _: [SECRET])),
        intake=Intake(NoSessions(), queue),
        sender_keys=lambda: cast("Any", SimpleNamespace(verified=lambda *_: ("global-token-revocation+jwt", verified))),
        counter=UNCOUNTED,
    )
    return load("webhook", receiver=receiver, time=SimpleNamespace(time=lambda: AT))


def _get(**headers: str) -> dict[str, Any]:
    return {"httpMethod": "GET", "pathParameters": {"provider": "acme", "source": "hook"}, "headers": headers, "body": None}


PROOF = {"Authorization": SECRET, "X-Okta-Verification-Challenge": CHALLENGE}


def test_a_sender_that_asks_is_answered_what_it_asked_for(load: Load) -> None:
    queue = FakeQueue()

    answer = _receiving(load, queue, lambda *_: HOOK).handler(_get(**PROOF), Context())

    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "application/json")
    assert json.loads(answer["body"]) == {"verification": CHALLENGE}
    assert queue.sent == []


def test_a_sender_that_asks_for_nothing_is_told_so(load: Load) -> None:
    answer = _receiving(load, FakeQueue(), lambda *_: HOOK).handler(_get(Authorization=SECRET), Context())

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("source", "named"), [(lambda *_: HOOK, ("acme", "hook")), (_unknown, (None, None))], ids=["hook", "none"]
)
def test_the_log_of_a_refusal_names_the_source_if_there_is_one(
    load: Load, log: Log, source: Callable[[str, str], Source], named: tuple[str | None, str | None]
) -> None:
    _receiving(load, FakeQueue(), source).handler(_get(), Context())

    (line,) = (each for each in log.lines if each["message"] == "request.refused")
    assert (line.get("provider"), line.get("source")) == named


UNPROVEN: dict[str, tuple[Callable[..., Source], dict[str, str]]] = {
    "no such source": (_unknown, {}),
    "no header": (lambda *_: HOOK, {"Authorization": ""}),
    "another header": (lambda *_: HOOK, {"Authorization": SECRET[:-1]}),
    "no handshake: secret": (lambda *_: Source("s", "auth0", "secret"), {}),
    "no handshake: bearer": (lambda *_: Source("s", "bearer", "secret"), {}),
    "no handshake: HMAC": (lambda *_: Source("s", "keycloak", "secret"), {}),
    "no handshake: JWT": (lambda *_: LOGOUT, {}),
    "no handshake: form": (lambda *_: Source("s", "logout-token", None), {"Content-Type": "application/x-www-form-urlencoded"}),
    "a form": (_unknown, {"Content-Type": "application/x-www-form-urlencoded"}),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_whoever_asks_without_proof_does_not_learn_which_sources_there_are(
    load: Load, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, changed = UNPROVEN[name]
    counted = Mock(wraps=hmac.digest)
    monkeypatch.setattr(hmac, "digest", counted)

    answer = _receiving(load, FakeQueue(), source).handler(_get(**{**PROOF, **changed}), Context())

    assert answer == _receiving(load, FakeQueue(), _unknown).handler(_get(**PROOF), Context())
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (401, "signature_invalid")
    assert counted.call_count == 2, "one computation for each of the two requests"


def test_the_log_has_neither_the_secret_nor_the_question(load: Load, log: Log) -> None:
    _receiving(load, FakeQueue(), lambda *_: HOOK).handler(_get(**PROOF), Context())

    assert "webhook.challenged" in log.text
    assert SECRET not in log.text
    assert CHALLENGE not in log.text


def test_where_success_has_no_content_the_answer_has_no_body(load: Load) -> None:
    queue = FakeQueue()
    request = sample("okta-universal-logout.json")
    claims = {**request["jwt_payload"], "iss": ISSUER, "aud": LOGOUT.audience, "iat": AT, "nbf": AT - 300, "exp": AT + 300}
    sub_id = {**request["body"]["sub_id"], "iss": ISSUER}
    event = {**_get(Authorization="Bearer token"), "httpMethod": "POST", "body": json.dumps({"sub_id": sub_id})}

    answer = _receiving(load, queue, lambda *_: LOGOUT, **claims).handler(event, Context())

    assert (answer["statusCode"], answer["body"], answer["headers"]) == (204, "", {})
    (message,) = [EndMessage.from_json(message.body) for message in queue.sent]
    assert message.event.client_id == "0oa0000000000000wik7"


def test_an_address_that_is_no_sub_is_answered_as_a_user_that_was_not_found(load: Load) -> None:
    claims = {"iss": ISSUER, "aud": LOGOUT.audience, "iat": AT, "exp": AT + 300, "jti": "j", "sub": "wiki"}
    body = json.dumps({"sub_id": {"format": "email", "email": "user@example.com"}})
    event = {**_get(Authorization="Bearer token"), "httpMethod": "POST", "body": body}

    answer = _receiving(load, FakeQueue(), lambda *_: LOGOUT, **claims).handler(event, Context())

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "subject_unknown")
    assert "user@example.com" not in answer["body"]
