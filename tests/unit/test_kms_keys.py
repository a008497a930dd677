"""The life of a key in KMS: what it is made with, and what AWS may answer."""

import json
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from backchannel.errors import KeyServiceUnavailable
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_policy import KeyPolicy
from backchannel.tokens.kms_keys import ORPHANED_AFTER, KmsKeys
from tests.support.signing import public_key, ring

ARN = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-4333-8444-555555555555"
POLICY = KeyPolicy("arn:aws:iam::123456789012:role/delivery", "arn:aws:iam::123456789012:role/rotation", "")
NOW = datetime(2026, 11, 26, tzinfo=UTC)


class Stubbed:
    """KmsKeys over stubs that expect exactly the calls that they are told of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        session = boto3.session.Session(region_name="eu-central-1")
        kms, tagging = session.client("kms"), session.client("resourcegroupstaggingapi")
        self.kms, self.tagging = Stubber(kms), Stubber(tagging)
        self.keys = KmsKeys(kms, tagging, "prod", POLICY)

    def described(self, state: str, age: timedelta) -> None:
        metadata = {"KeyId": ARN, "Arn": ARN, "KeyState": state, "CreationDate": NOW - age}
        self.kms.add_response("describe_key", {"KeyMetadata": metadata}, {"KeyId": ARN})

    def tagged(self, *arns: str) -> None:
        tags = [{"Key": "backchannel:stack", "Value": "prod"}, {"Key": "backchannel:provider", "Value": "acme"}]
        found = {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": tags} for arn in arns]}
        filters = [{"Key": "backchannel:stack", "Values": ["prod"]}, {"Key": "backchannel:provider"}]
        self.tagging.add_response("get_resources", found, {"TagFilters": filters, "ResourceTypeFilters": ["kms:key"]})

    def left_over(self, *named: str, providers: Collection[str] = ("acme",)) -> list[str]:
        return self.keys.left_over(named, providers, round(NOW.timestamp() * 1000))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubbed]:
    stubbed = Stubbed(monkeypatch)
    with stubbed.kms, stubbed.tagging:
        yield stubbed
        stubbed.kms.assert_no_pending_responses()
        stubbed.tagging.assert_no_pending_responses()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_is_made_with_its_spec_its_tags_and_its_policy(aws: Stubbed, alg: str) -> None:
    expected = {
        "KeySpec": ALGORITHMS[alg].key_spec,
        "KeyUsage": "SIGN_VERIFY",
        "Description": f"Backchannel logout tokens of acme, {alg}",
        "Policy": json.dumps(POLICY.document()),
        "BypassPolicyLockoutSafetyCheck": True,
        "Tags": [
            {"TagKey": "backchannel:stack", "TagValue": "prod"},
            {"TagKey": "backchannel:provider", "TagValue": "acme"},
        ],
    }
    aws.kms.add_response("create_key", {"KeyMetadata": {"KeyId": ARN, "Arn": ARN}}, expected)
    aws.kms.add_response("get_public_key", {"PublicKey": public_key(alg)}, {"KeyId": ARN})

    made = aws.keys.create("acme", alg)

    (known,) = [key for key in ring() if key.alg == alg]
    assert (made.kid, made.alg, made.kms_key_arn, made.jwk) == (known.kid, alg, ARN, known.jwk)


@pytest.mark.parametrize("error", ["KMSInvalidStateException", "NotFoundException"])
def test_a_key_that_is_deleted_already_is_deleted(aws: Stubbed, error: str) -> None:
    aws.kms.add_client_error("schedule_key_deletion", error)

    aws.keys.schedule_deletion(ARN)


@pytest.mark.parametrize("call", ["create_key", "get_public_key"])
def test_what_kms_does_not_do_is_an_internal_failure(aws: Stubbed, call: str) -> None:
    if call == "get_public_key":
        aws.kms.add_response("create_key", {"KeyMetadata": {"KeyId": ARN, "Arn": ARN}})
    aws.kms.add_client_error(call, "LimitExceededException")

    with pytest.raises(KeyServiceUnavailable, match="LimitExceededException"):
        aws.keys.create("acme", "ES256")


@pytest.mark.parametrize("error", ["ThrottlingException", "AccessDeniedException"])
def test_a_deletion_that_kms_refuses_is_an_internal_failure(aws: Stubbed, error: str) -> None:
    aws.kms.add_client_error("schedule_key_deletion", error)

    with pytest.raises(KeyServiceUnavailable, match=error):
        aws.keys.schedule_deletion(ARN)


def test_a_key_that_no_ring_names_is_left_over_after_an_hour(aws: Stubbed) -> None:
    aws.tagged(ARN)
    aws.described("Enabled", timedelta(milliseconds=ORPHANED_AFTER + 1))

    assert aws.left_over() == [ARN]


def test_a_key_that_is_being_made_is_not_left_over(aws: Stubbed) -> None:
    aws.tagged(ARN)
    aws.described("Enabled", timedelta(milliseconds=ORPHANED_AFTER))

    assert aws.left_over() == []


@pytest.mark.parametrize("state", ["PendingDeletion", "Disabled"])
def test_a_key_that_somebody_has_deleted_or_disabled_is_left_alone(aws: Stubbed, state: str) -> None:
    aws.tagged(ARN)
    aws.described(state, timedelta(days=9))

    assert aws.left_over() == []


def test_a_key_of_a_provider_that_the_table_has_never_had_is_left_alone(aws: Stubbed) -> None:
    aws.tagged(ARN)

    assert aws.left_over(providers=["other"]) == []


def test_a_key_that_a_ring_names_is_not_even_looked_at(aws: Stubbed) -> None:
    aws.tagged(ARN)

    assert aws.left_over(ARN) == []


@pytest.mark.parametrize("statements", [[], [{"Sid": "OnlyDeliverySigns"}]])
def test_another_policy_is_not_ours(aws: Stubbed, statements: list[dict[str, Any]]) -> None:
    aws.kms.add_response("get_key_policy", {"Policy": json.dumps({"Version": "2012-10-17", "Statement": statements})})

    assert not aws.keys.has_our_policy(ARN)


def test_our_policy_is_ours_however_it_is_written(aws: Stubbed) -> None:
    aws.kms.add_response("get_key_policy", {"Policy": json.dumps(POLICY.document(), indent=2, sort_keys=True)})

    assert aws.keys.has_our_policy(ARN)
