import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel import errors
from backchannel.api.event_handler import answer_with_problems
from backchannel.errors import BackchannelError, CallerError, InternalFailure
from tests.unit.conftest import Log
from tests.unit.fakes import sample

OURS = [errors.SigningUnavailable, errors.StorageUnavailable, errors.QueueUnavailable, errors.MessageNotUnderstood]


@pytest.mark.parametrize("kind", CallerError.__subclasses__(), ids=lambda kind: kind.code)
def test_a_callers_error_is_a_problem_document_with_its_status_and_code(kind: type[CallerError]) -> None:
    answer = _answer(kind("what is wrong"))

    assert answer["statusCode"] == kind.status
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    document = json.loads(answer["body"])
    assert (document["status"], document["code"]) == (kind.status, kind.code)
    assert document["detail"] == (kind.shown or "what is wrong")
    assert document["type"] == "about:blank"
    assert document["title"]


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.code)
def test_an_internal_failure_asks_for_a_retry_and_hides_its_details(kind: type[InternalFailure]) -> None:
    answer = _answer(kind("arn:aws:dynamodb:internal"))

    assert answer["statusCode"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == ["5"]
    assert json.loads(answer["body"])["code"] == kind.code
    assert "arn:" not in answer["body"]


@pytest.mark.parametrize("error", [errors.NotFoundError("none"), errors.StorageUnavailable("throttled")])
def test_no_problem_is_cached(error: BackchannelError) -> None:
    assert _answer(error)["multiValueHeaders"]["Cache-Control"] == ["no-store"]


def test_an_unknown_path_is_a_problem_document_too() -> None:
    event = sample("api-discovery.json") | {"path": "/nowhere"}

    answer = _resolver(lambda: None).resolve(event, LambdaContext())

    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["code"] == "not_found"


def test_the_reason_for_which_a_sender_is_not_proven_is_in_the_log_alone(log: Log) -> None:
    answer = _answer(errors.SignatureInvalidError("no provider 'acme'"))

    assert "acme" not in answer["body"]
    assert log.lines[-1]["detail"] == "no provider 'acme'"


def test_a_name_that_is_not_found_is_repeated_up_to_its_64th_character(log: Log) -> None:
    answer = _answer(errors.NotFoundError.of("client", "a" * 65))

    assert json.loads(answer["body"])["detail"] == f"no client {'a' * 64 + '…'!r}"
    assert "a" * 65 not in log.text


def test_callers_errors_are_logged_as_info_internal_failures_as_errors(log: Log) -> None:
    _answer(errors.SignatureInvalidError("no signature matches"))
    _answer(errors.StorageUnavailable("throttled"))

    assert [(line["level"], line["message"], line["code"]) for line in log.lines] == [
        ("INFO", "request.refused", "signature_invalid"),
        ("ERROR", "request.failed", "storage_unavailable"),
    ]


def _answer(error: BackchannelError) -> dict[str, Any]:
    def fail() -> None:
        raise error

    return _resolver(fail).resolve(sample("api-discovery.json"), LambdaContext())


def _resolver(route: Callable[[], None]) -> APIGatewayRestResolver:
    app = APIGatewayRestResolver()
    answer_with_problems(app)
    app.get("/providers/acme/jwks.json")(route)
    return app


@pytest.mark.parametrize(("name", "text"), [("a" * 64, repr("a" * 64)), ("a" * 65, repr("a" * 64 + "…")), ("tab\t", r"'tab\t'")])
def test_an_error_repeats_no_more_than_64_characters_of_a_name(name: str, text: str) -> None:
    assert errors.shown(name) == text
