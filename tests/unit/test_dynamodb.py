from typing import TYPE_CHECKING, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import example, given
from hypothesis import strategies as st
from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import GetError, UpdateError
from pynamodb.models import Model

from backchannel.aws.dynamodb import MAX_PART, ConditionFailedError, bind, key, part, storage
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


ISSUER = "https://idp.example/" + "%" * 300
identifiers = st.text(st.sampled_from("ab#%h\u200d\U0001f469"), max_size=300)


@given(identifiers, identifiers)
@example("a" * 300, "a" * 301)
@example("#" * 86, "%23" * 86)
@example("%h", "%25h")
def test_no_two_identifiers_give_one_key(one: str, other: str) -> None:
    assert (key("SID", ISSUER, part(one)) == key("SID", ISSUER, part(other))) == (one == other)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.text("ab", max_size=9))
@example("\U0001f469" * 2048, "a")
def test_two_identifiers_always_fit_into_a_sort_key(long: str, short: str) -> None:
    assert len(key("RP", part(long), part(long)).encode()) <= 1024
    assert key("RP", part(long), part(short)).startswith(key("RP", part(long), ""))


def test_no_identifier_can_be_mistaken_for_the_hash_of_a_long_one() -> None:
    long = "a" * (MAX_PART + 1)
    hashed = part(long)

    assert hashed.startswith("%h")
    assert part(str(hashed)) != hashed


@pytest.mark.parametrize("value", ["a" * MAX_PART, "\U0001f469" * (MAX_PART // 4), "sid-1"])
def test_an_identifier_that_fits_is_readable_in_its_key(value: str) -> None:
    assert key("RP", part(value)) == f"RP#{value}"


def test_an_issuer_comes_out_of_a_key_whatever_its_length_and_that_of_the_identifier() -> None:
    assert split(key("SID", ISSUER, part("a" * 2048)))[:2] == ["SID", ISSUER]


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
