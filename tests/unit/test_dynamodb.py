from typing import TYPE_CHECKING, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import example, given
from hypothesis import strategies as st
from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import GetError, UpdateError
from pynamodb.models import Model

from backchannel.aws.dynamodb import ConditionFailedError, bind, key, storage
from backchannel.aws.dynamodb import parts as split
from backchannel.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

parts = st.lists(st.text("#%23ab", max_size=4), min_size=1, max_size=4)


class _Item(Model):
    pk = UnicodeAttribute(hash_key=True)


@given(parts, parts)
@example(["a", "b"], ["a#b"])
@example(["a%23b"], ["a#b"])
@example(["a", ""], ["a"])
@example(["%"], ["%25"])
def test_no_two_lists_of_parts_give_one_key(one: list[str], other: list[str]) -> None:
    assert (key(*one) == key(*other)) == (one == other)


@given(parts, parts)
def test_parts_before_an_empty_one_are_a_prefix_of_their_own_longer_keys_alone(prefix: list[str], parts: list[str]) -> None:
    assert key(*parts).startswith(key(*prefix, "")) == (len(parts) > len(prefix) and parts[: len(prefix)] == prefix)


def test_a_key_is_readable() -> None:
    assert key("SID", "https://idp.example/", "sid-1") == "SID#https://idp.example/#sid-1"


@given(parts)
def test_the_parts_come_out_of_a_key_as_they_went_in(parts: list[str]) -> None:
    assert split(key(*parts)) == parts


def test_a_model_is_bound_to_each_table_by_itself() -> None:
    clients: list[object] = [object(), object()]

    one, other = (
        bind(_Item, cast("DynamoDBClient", client), name) for client, name in zip(clients, ("one", "other"), strict=True)
    )

    assert (one.Meta.table_name, other.Meta.table_name) == ("one", "other")
    assert [cast("object", bound._get_connection().connection._client) for bound in (one, other)] == clients


def test_a_failed_condition_is_told_apart_from_a_table_that_does_not_answer() -> None:
    failed = UpdateError("failed", cause=_refusal("ConditionalCheckFailedException"))
    throttled = GetError("throttled", cause=_refusal("ProvisionedThroughputExceededException"))

    with pytest.raises(ConditionFailedError), storage():
        raise failed
    with pytest.raises(StorageUnavailable, match="ProvisionedThroughputExceededException"), storage():
        raise throttled


def test_a_table_that_cannot_be_reached_is_an_internal_failure() -> None:
    with pytest.raises(StorageUnavailable, match="GetError"), storage():
        raise GetError("no connection")


def test_a_table_that_broke_the_connection_off_is_an_internal_failure() -> None:
    unreachable = GetError("failed", cause=EndpointConnectionError(endpoint_url="http://127.0.0.1"))

    with pytest.raises(StorageUnavailable, match="EndpointConnectionError"), storage():
        raise unreachable


def _refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "UpdateItem")
