"""Secrets as AWS keeps them: what the local AWS answers otherwise, or never."""

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from backchannel.aws.secrets import TAG, OwnSecrets, Secrets
from backchannel.errors import ConflictError, StorageUnavailable

NAME = "backchannel/prod/acme/app"
OURS = [{"Key": TAG, "Value": "prod"}]
ARN = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:backchannel/prod/acme/app-AbCdEf"
DELETED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return boto3.session.Session().client("secretsmanager", region_name="eu-central-1")


@pytest.mark.parametrize("error", ["ResourceExistsException", "InvalidRequestException"])
def test_a_secret_that_was_deleted_lately_is_restored_and_then_replaced(aws: Any, error: str) -> None:
    with Stubber(aws) as stub:
        stub.add_client_error("create_secret", error)
        stub.add_response("describe_secret", {"Name": NAME, "Tags": OURS, "DeletedDate": DELETED}, {"SecretId": NAME})
        stub.add_response("restore_secret", {"ARN": ARN}, {"SecretId": NAME})
        stub.add_response("put_secret_value", {"ARN": ARN}, {"SecretId": NAME, "SecretString": ANY})

        OwnSecrets(aws, "prod").put(NAME, ["new"])

        stub.assert_no_pending_responses()


@pytest.mark.parametrize("tags", [[], [{"Key": TAG, "Value": "dev"}], [{"Key": "stack", "Value": "prod"}]])
@pytest.mark.parametrize("error", ["ResourceExistsException", "InvalidRequestException"])
def test_a_secret_of_somebody_else_is_neither_restored_nor_replaced(aws: Any, error: str, tags: list[dict[str, str]]) -> None:
    with Stubber(aws) as stub:
        stub.add_client_error("create_secret", error)
        stub.add_response("describe_secret", {"Name": NAME, "Tags": tags, "DeletedDate": DELETED}, {"SecretId": NAME})

        with pytest.raises(ConflictError):
            OwnSecrets(aws, "prod").put(NAME, ["new"])


@pytest.mark.parametrize("found", [{"Tags": []}, {}, {"Tags": OURS, "DeletedDate": DELETED}])
def test_a_secret_of_somebody_else_or_one_that_is_deleted_is_not_deleted(aws: Any, found: dict[str, Any]) -> None:
    with Stubber(aws) as stub:
        stub.add_response("describe_secret", {"Name": NAME, **found}, {"SecretId": NAME})

        OwnSecrets(aws, "prod").delete(NAME)


def test_a_deleted_secret_can_be_restored_for_a_week(aws: Any) -> None:
    with Stubber(aws) as stub:
        stub.add_response("describe_secret", {"Name": NAME, "Tags": OURS}, {"SecretId": NAME})
        stub.add_response("delete_secret", {"ARN": ARN}, {"SecretId": NAME, "RecoveryWindowInDays": 7})

        OwnSecrets(aws, "prod").delete(NAME)

        stub.assert_no_pending_responses()


def test_a_request_that_is_invalid_for_another_reason_is_an_internal_failure(aws: Any) -> None:
    with Stubber(aws) as stub:
        stub.add_client_error("create_secret", "InvalidRequestException")
        stub.add_client_error("describe_secret", "ResourceNotFoundException")

        with pytest.raises(StorageUnavailable):
            OwnSecrets(aws, "prod").put(NAME, ["new"])


@pytest.mark.parametrize(
    ("stored", "usable"),
    [({"secrets": ["good", "\ud800"]}, ["good"]), ({"secrets": ["\udfff"]}, []), ({"secrets": [1, None, "good"]}, ["good"])],
)
def test_what_could_verify_no_webhook_is_not_read(aws: Any, stored: object, usable: list[str]) -> None:
    with Stubber(aws) as stub:
        stub.add_response("get_secret_value", {"SecretString": json.dumps(stored)}, {"SecretId": NAME})

        assert Secrets(aws, 60).get(NAME) == usable


@pytest.mark.parametrize("stored", ["no JSON", "[]", "{}", '{"secrets": "text"}', "null"])
def test_a_secret_that_somebody_changed_by_hand_is_an_internal_failure(aws: Any, stored: str) -> None:
    with Stubber(aws) as stub:
        stub.add_response("get_secret_value", {"SecretString": stored}, {"SecretId": NAME})

        with pytest.raises(StorageUnavailable):
            Secrets(aws, 60).get(NAME)
