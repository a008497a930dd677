"""The local AWS seen by its root, or by a role: queues, logs, and the permissions of the functions."""

import functools
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import urllib3
from botocore.config import Config

from local.client import Stack
from local.stack import STACK_NAME
from tests.support.alone import takes_away
from tests.support.polling import until

LONGEST = 300
"""Seconds: the longest timeout of a function, so that an invocation is waited for."""

type Json = dict[str, Any]
type Policy = dict[str, Any]


class Aws:
    """Clients for the stack's AWS, and what the tests do with them."""

    def __init__(self, stack: Stack, session: boto3.Session | None = None) -> None:
        self.stack = stack
        self._session = session or boto3.Session("test", "test")

    @functools.cache  # noqa: B019 - lives as long as the test session
    def client(self, service: Any) -> Any:
        return self._session.client(
            service, endpoint_url=self.stack.endpoint_url, region_name=self.stack.region, config=Config(read_timeout=LONGEST)
        )

    def physical_id(self, logical_id: str) -> str:
        found = self.client("cloudformation").describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=logical_id)
        physical_id: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return physical_id

    # --- queues -------------------------------------------------------------------------------------------------------

    def send(self, queue: str, body: str) -> None:
        self.client("sqs").send_message(QueueUrl=self.stack.queues[queue], MessageBody=body)

    def take(self, queue: str, body: str) -> bool:
        """Receive and delete this message if it is in the queue; others become visible again at once."""
        sqs, url = self.client("sqs"), self.stack.queues[queue]
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1).get("Messages", []):
            if message["Body"] == body:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                return True
        return False

    def messages(self, queue: str, provider: str) -> list[Json]:
        """Return a provider's messages in a queue, in flight and delayed ones too, without receiving any."""
        answer = urllib3.request("GET", f"{self.stack.endpoint_url}/_ministack/sqs/messages", retries=False).json()
        (regions,) = answer["messages"].values()
        return [each for each in regions[self.stack.region][self.stack.queues[queue]] if provider in each["Body"]]

    def wait_until_handled(self, provider: str) -> None:
        """Wait until every end of a provider's has been fanned out, and every delivery has had its first attempt.

        Messages that wait in RetryQueue, and sweeps that are delayed, do not count. The order matters: a fan-out is deleted from
        its queue after its deliveries were sent to theirs.
        """
        for queue in ("SessionEndedQueue", "DeliveryQueue"):
            until(functools.partial(self._busy, queue, provider), holds=lambda busy: busy == [])

    def _busy(self, queue: str, provider: str) -> list[str]:
        found = self.messages(queue, provider)
        return [each["Body"] for each in found if each["IsVisible"] or each["ReceiveCount"] > 0]

    # --- logs ---------------------------------------------------------------------------------------------------------

    def log_groups(self) -> list[str]:
        """Return the logical ids of the functions' log groups."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK_NAME)
        resources = [each for page in pages for each in page["StackResourceSummaries"]]
        return [each["LogicalResourceId"] for each in resources if each["ResourceType"] == "AWS::Logs::LogGroup"]

    def log_lines(self, log_group: str, since: float) -> list[str]:
        """Return what a function has logged; ``since`` in seconds since the epoch."""
        pages = self.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=self.physical_id(log_group), startTime=int(since * 1000))
        return [event["message"] for page in found for event in page["events"]]

    def wait_until_put_off(self, since: float) -> None:
        """Wait until `source_events` has put a message off, since it could not store or queue what it holds."""
        until(lambda: [line for line in self.log_lines("SourceEventsLogGroup", since) if "source_events.postponed" in line])

    # --- functions ----------------------------------------------------------------------------------------------------

    @contextmanager
    def with_variables(self, function: str, **variables: str) -> Iterator[str]:
        """Deploy a function once more, with other environment variables; return its name.

        The function itself stays as it is: with other variables it would start anew, in the middle of what others have it do.
        """
        functions = self.client("lambda")
        found = functions.get_function(FunctionName=self.physical_id(function))
        name, kept = f"test-{secrets.token_hex(6)}", ("Runtime", "Role", "Handler", "Timeout", "MemorySize", "LoggingConfig")
        configuration = found["Configuration"]
        functions.create_function(
            FunctionName=name,
            Code={"ZipFile": urllib3.request("GET", found["Code"]["Location"], retries=False).data},
            Layers=[layer["Arn"] for layer in configuration["Layers"]],
            Environment={"Variables": {**configuration["Environment"]["Variables"], **variables}},
            **{each: configuration[each] for each in kept},
        )
        try:
            yield name
        finally:
            functions.delete_function(FunctionName=name)

    def invoke(self, name: str) -> None:
        """Let a function of this name do what it does on its schedule."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    # --- permissions --------------------------------------------------------------------------------------------------

    def assume(self, role: str) -> "Aws":
        """Return the AWS as a role sees it. The local AWS lets its root assume any role, whatever the role's trust policy."""
        arn = self.client("iam").get_role(RoleName=self.physical_id(role))["Role"]["Arn"]
        credentials = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        keys = [credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        return Aws(self.stack, boto3.Session(*keys))

    def role_policies(self, role: str) -> dict[str, Policy]:
        iam, name = self.client("iam"), self.physical_id(role)
        names = iam.list_role_policies(RoleName=name)["PolicyNames"]
        return {each: _document(iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"]) for each in names}

    @contextmanager
    def without(self, role: str, action: str, resource: str = "") -> Iterator[None]:
        """Take an action from a role's inline policies, wherever the name of its resource contains ``resource``."""
        takes_away(f"{action} from {role}")
        iam, name = self.client("iam"), self.physical_id(role)
        before = self.role_policies(role)
        after = {each: _without(policy, action, resource) for each, policy in before.items()}
        assert after != before, f"{role} has no {action} on {resource}"
        try:
            for each, policy in after.items():
                if policy["Statement"]:
                    iam.put_role_policy(RoleName=name, PolicyName=each, PolicyDocument=json.dumps(policy))
                else:
                    iam.delete_role_policy(RoleName=name, PolicyName=each)
            yield
        finally:
            for each, policy in before.items():
                iam.put_role_policy(RoleName=name, PolicyName=each, PolicyDocument=json.dumps(policy))

    @contextmanager
    def with_permission(self, role: str, action: str) -> Iterator[None]:
        """Let a role's IAM policies allow an action on everything."""
        iam, name, policy = self.client("iam"), self.physical_id(role), f"more-{secrets.token_hex(4)}"
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps({"Statement": [statement]}))
        try:
            yield
        finally:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)

    def key_policy(self, key_arn: str) -> Policy:
        return _document(self.client("kms").get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"])

    @contextmanager
    def without_signing(self, key_arn: str) -> Iterator[None]:
        """Take the right to sign from a key's policy."""
        kms = self.client("kms")
        before = self.key_policy(key_arn)
        after = _without(before, "kms:Sign")
        assert after != before, f"nobody may sign with {key_arn}"
        try:
            kms.put_key_policy(KeyId=key_arn, PolicyName="default", Policy=json.dumps(after))
            yield
        finally:
            kms.put_key_policy(KeyId=key_arn, PolicyName="default", Policy=json.dumps(before))


def actions(statement: Policy) -> list[str]:
    listed = statement["Action"]
    return [listed] if isinstance(listed, str) else listed


def _document(policy: str | Policy) -> Policy:
    document: Policy = json.loads(policy) if isinstance(policy, str) else policy
    return document


def _without(policy: Policy, action: str, resource: str = "") -> Policy:
    statements = []
    for statement in policy["Statement"]:
        left = actions(statement)
        if resource in json.dumps(statement["Resource"]):
            left = [each for each in left if each != action]
        if left:
            statements.append({**statement, "Action": left})
    return {**policy, "Statement": statements}
