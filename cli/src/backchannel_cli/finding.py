"""Which service a command is about: by --url, by --local, or a stack's outputs in CloudFormation. Nothing is guessed."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from backchannel_cli.aws import Aws, explained
from backchannel_cli.errors import FailureError, NotFoundError, UsageError
from backchannel_cli.service import LOOPBACK

LOCAL_KEYS = ("test", "test")
LOCAL_ACCOUNT = "000000000000"
PROD = "prod"
STACK_VARIABLE = "BACKCHANNEL_STACK"
STACK_FILE = Path(".local") / "stack.json"

OUTPUTS = frozenset({"ApiUrl", "SessionEndedQueueUrl", "DeliveryDeadLetterQueueUrl"})
"""A stack with these outputs is one of this service."""

_EXECUTE_API = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator said about which service is meant."""

    url: str | None = None
    is_local: bool = False
    stack: str | None = None
    region: str | None = None
    profile: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Return the options that take a value and were given, each with its value."""
        values = {"--url": self.url, "--stack": self.stack, "--region": self.region, "--profile": self.profile}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Place:
    """A deployed service, where it is, and how it was found. What is not known of one given by its URL is None."""

    url: str
    region: str
    found: str
    aws: Aws
    account: str | None = None
    stack: str | None = None
    environment: str | None = None

    @property
    def is_prod(self) -> bool:
        """Whether a change here is a change of ``prod``; so is one of a service that nothing is known about."""
        if self.environment is None:
            return urlsplit(self.url).hostname not in LOOPBACK
        return self.environment == PROD


def find(wanted: Wanted) -> Place:
    """Return the service that is meant.

    Raises:
        CommandError: there is none, or more than one.

    """
    empty = next((name for name, value in wanted.named.items() if value == ""), None)
    if empty is not None:
        raise UsageError(f"{empty} is empty.", "Give it a value, or leave it out. Is a variable of the shell not set?")
    given = [name for name, value in (("--url", wanted.url), ("--local", wanted.is_local), ("--stack", wanted.stack)) if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other.", "Give one of them.")
    if wanted.is_local:
        return _local()
    aws = Aws(profile=wanted.profile, region=wanted.region)
    if wanted.url:
        return _by_url(wanted.url, wanted, aws)
    return _by_stack(wanted.stack or os.environ.get(STACK_VARIABLE), aws)


def _local() -> Place:
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / STACK_FILE).is_file():
            break
    else:
        raise NotFoundError(
            f"There is no {STACK_FILE} in {here} or above it: no local stack is up.",
            "Run `make up` in your clone of Backchannel, and this command below it.",
        )
    file = directory / STACK_FILE
    try:
        description = json.loads(file.read_text())
        region = description["region"]
        return Place(
            url=description["api_url"],
            region=region,
            found=f"--local: {file}",
            aws=Aws(region=region, keys=LOCAL_KEYS, endpoint_url=description["endpoint_url"]),
            account=LOCAL_ACCOUNT,
            stack=description["stack_name"],
            environment="local",
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FailureError(
            f"{file} does not describe a local stack.", "Run `make up` in this clone; it writes it anew."
        ) from error


def _by_url(url: str, wanted: Wanted, aws: Aws) -> Place:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"{url!r} is not the address of a service.", "Give --url what the stack's output ApiUrl says.")
    if parts.username is not None:
        raise UsageError("--url has a user name or a password.", "Leave it out: requests are signed with your AWS credentials.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise UsageError(f"{url} is not https.", "Give an https address: requests and answers name users.")
    named = _EXECUTE_API.search(f"{parts.hostname}.")
    region = wanted.region or (named[1] if named else aws.region)
    in_region = Aws(profile=wanted.profile, region=region)
    return Place(url=url.rstrip("/"), region=region, found="--url", aws=in_region)


def _by_stack(name: str | None, aws: Aws) -> Place:
    stacks = _described(name, aws)
    if len(stacks) > 1:
        lines = "".join(f"\n  --stack {stack['StackName']}  (Environment={_environment(stack)})" for stack in stacks)
        raise UsageError(
            f"There is more than one stack of Backchannel in {aws.region}:{lines}",
            "Say which one with --stack, or set BACKCHANNEL_STACK.",
        )
    if not stacks:
        raise NotFoundError(
            f"There is no stack of Backchannel in {aws.region} of this account.",
            "Give --region or --profile, deploy one with `make deploy`, or use --local for the stack of this clone.",
        )
    (stack,) = stacks
    if not _is_ours(stack):
        raise NotFoundError(
            f"The stack {name} has no output ApiUrl; its status is {stack['StackStatus']}.",
            "See that it is a stack of Backchannel and deployed: `aws cloudformation describe-stack-events`.",
        )
    return Place(
        url=_outputs(stack)["ApiUrl"],
        region=aws.region,
        found=f"the stack {name}" if name else "the one stack of Backchannel in this account and region",
        aws=aws,
        account=stack["StackId"].split(":")[4],
        stack=stack["StackName"],
        environment=_environment(stack),
    )


def _described(name: str | None, aws: Aws) -> list[dict[str, Any]]:
    """Return the stack of a name, or all of this service's."""
    from botocore.exceptions import ClientError

    with explained():
        cloudformation = aws.client("cloudformation")
        if name is None:
            pages = cloudformation.get_paginator("describe_stacks").paginate()
            return [stack for page in pages for stack in page["Stacks"] if _is_ours(stack)]
        try:
            return list(cloudformation.describe_stacks(StackName=name)["Stacks"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                raise NotFoundError(
                    f"There is no stack {name} in {aws.region} of this account.",
                    "Compare name, --region and --profile; without --stack, the stacks of Backchannel are listed.",
                ) from error
            raise


def _is_ours(stack: Mapping[str, Any]) -> bool:
    return _outputs(stack).keys() >= OUTPUTS


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _environment(stack: Mapping[str, Any]) -> str | None:
    """Return what the stack is for. It is ``prod`` if its parameter, its tag or its name says so."""
    said = [each["ParameterValue"] for each in stack.get("Parameters", []) if each["ParameterKey"] == "Environment"]
    said += [each["Value"] for each in stack.get("Tags", []) if each["Key"] == "Environment"]
    is_prod = any(PROD in each.lower() for each in (*said, stack["StackName"]))
    return PROD if is_prod else next(iter(said), None)
