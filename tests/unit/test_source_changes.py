"""Who changes a source has it alone for as long as that can take, and who did not get it keeps nobody from it."""

import json
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config

from backchannel.errors import StorageUnavailable
from backchannel.providers.source_changes import LEASE, SourceChanges
from tests.support.aws_responses import response
from tests.template.cloudformation import load


def test_a_source_whose_taking_got_no_answer_is_left_to_others() -> None:
    taken = set[str]()

    def answer(request: AWSRequest, **_: object) -> AWSResponse:
        sent: dict[str, Any] = json.loads(request.body)
        if "Item" in sent:  # it is written, and then the answer is lost
            taken.add(sent["Item"]["change"]["S"])
            return response(request, 500, b"{}")
        (change,) = sent["ExpressionAttributeValues"].values()
        taken.discard(change["S"])
        return response(request, 200, b"{}")

    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    client = boto3.client("dynamodb", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test", config=once)
    client.meta.events.register("before-send.dynamodb", answer)  # type: ignore[arg-type] # what it returns is the answer

    with pytest.raises(StorageUnavailable), SourceChanges(client, "providers").alone("acme", "app"):
        pytest.fail("it is not known whether the source was free")

    assert taken == set()


def test_nobody_gets_a_source_while_a_function_may_still_change_it() -> None:
    timeout = load()["Resources"]["AdminFunction"]["Properties"]["Timeout"] * 1000

    assert timeout < LEASE
