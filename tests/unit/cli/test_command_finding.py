"""Which service is meant: found in CloudFormation, by its URL or by a clone's stack; never guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from backchannel_cli.aws import Aws
from backchannel_cli.finding import Place, Wanted, find
from tests.support.command import Command
from tests.unit.cli.conftest import Api

ACCOUNT = "123456789012"
CALLER = f"""<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/operator</Arn>
<UserId>x</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>""".encode()
EMPTY: dict[str, Any] = {"providers": [], "next": None}


def error(code: str, message: str) -> bytes:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()


def stack(name: str, url: str, *, environment: str | None = "dev", ours: bool = True, tag: str | None = None) -> str:
    outputs = {"ApiUrl": url, "SessionEndedQueueUrl": "q", "DeliveryDeadLetterQueueUrl": "d"} if ours else {"Other": "x"}
    members = "".join(
        f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>" for key, value in outputs.items()
    )
    parameter = f"<member><ParameterKey>Environment</ParameterKey><ParameterValue>{environment}</ParameterValue></member>"
    tagged = f"<member><Key>Environment</Key><Value>{tag}</Value></member>"
    return f"""<member><StackName>{name}</StackName><StackStatus>CREATE_COMPLETE</StackStatus>
    <CreationTime>2026-11-27T00:00:00Z</CreationTime><StackId>arn:aws:cloudformation:eu-central-1:{ACCOUNT}:stack/{name}/1</StackId>
    <Parameters>{parameter if environment else ""}</Parameters><Tags>{tagged if tag else ""}</Tags>
    <Outputs>{members}</Outputs></member>"""


def stacks(*members: str) -> bytes:
    listed = "".join(members)
    return (
        f"<DescribeStacksResponse><DescribeStacksResult><Stacks>{listed}</Stacks></DescribeStacksResult></DescribeStacksResponse>"
    ).encode()


@pytest.fixture
def cloud(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """AWS and the service, in one server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
    api.answer("GetCallerIdentity", (200, CALLER))
    api.answer("GET /providers", (200, EMPTY))
    return api


def test_the_one_stack_of_the_account_is_found(cloud: Api, command: Command) -> None:
    cloud.answer("DescribeStacks", (200, stacks(stack("other", "", ours=False), stack("backchannel-dev", cloud.url))))

    ended = command("context", "--json")

    assert ended.json == {
        "url": cloud.url,
        "account": ACCOUNT,
        "region": "eu-central-1",
        "stack": "backchannel-dev",
        "environment": "dev",
        "prod": False,
        "found": "the one stack of Backchannel in this account and region",
        "caller": f"arn:aws:iam::{ACCOUNT}:user/operator",
    }


def test_two_stacks_are_listed_and_none_is_chosen(cloud: Api, command: Command) -> None:
    both = (stack("backchannel-dev", cloud.url), stack("backchannel-prod", cloud.url, environment="prod"))
    cloud.answer("DescribeStacks", (200, stacks(*both)))

    ended = command("provider", "list")

    assert ended.code == 2
    assert "--stack backchannel-dev  (Environment=dev)" in ended.stderr
    assert "--stack backchannel-prod  (Environment=prod)" in ended.stderr
    assert [request for request in cloud.requests if "providers" in request[1]] == []


def test_no_stack_is_3(cloud: Api, command: Command) -> None:
    cloud.answer("DescribeStacks", (200, stacks(stack("other", "", ours=False))))

    ended = command("provider", "list")

    assert ended.code == 3
    assert "--region" in ended.stderr.splitlines()[-1]


def test_a_stack_is_named_by_option_or_by_the_shell(cloud: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.answer("DescribeStacks", (200, stacks(stack("mine", cloud.url))))

    by_option = command("provider", "list", "--stack", "mine")
    monkeypatch.setenv("BACKCHANNEL_STACK", "mine")
    by_shell = command("provider", "list")

    assert (by_option.code, by_shell.code) == (0, 0)
    assert sum("StackName=mine" in str(request[2]) for request in cloud.requests) == 2


def test_a_stack_that_the_shell_names_gives_way_to_an_address(
    api: Api, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKCHANNEL_STACK", "mine")
    api.answer("GET /providers", (200, EMPTY))

    assert command("provider", "list", "--url", api.url).code == 0
    assert command("provider", "list", "--url", api.url, "--stack", "mine").code == 2


def test_a_stack_of_another_region_is_not_found(cloud: Api, command: Command) -> None:
    cloud.answer("DescribeStacks", (400, error("ValidationError", "Stack with id mine does not exist")))

    ended = command("provider", "list", "--stack", "mine", "--region", "us-east-1")

    assert ended.code == 3
    assert "no stack mine in us-east-1" in ended.stderr


def test_a_stack_that_is_not_this_service_is_not_found(cloud: Api, command: Command) -> None:
    cloud.answer("DescribeStacks", (200, stacks(stack("other", "", ours=False))))

    assert command("provider", "list", "--stack", "other").code == 3


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AccessDenied", "allow DescribeStacks"),
        ("ExpiredToken", "Renew your credentials"),
        ("InvalidClientTokenId", "--profile"),
    ],
)
def test_what_aws_does_not_allow_is_4(code: str, advice: str, cloud: Api, command: Command) -> None:
    cloud.answer("DescribeStacks", (403, error(code, "no")))

    ended = command("provider", "list")

    assert ended.code == 4
    assert advice in ended.stderr.splitlines()[-1]


def test_what_answers_in_place_of_aws_is_a_failure(cloud: Api, command: Command) -> None:
    cloud.answer("DescribeStacks", (200, b"<html>log in to the network"))

    ended = command("provider", "list")

    assert ended.code == 1
    assert "not AWS" in ended.stderr


def test_no_credentials_are_4(api: Api, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    for options in ([], ["--url", api.url]):
        ended = command("provider", "list", *options)
        assert ended.code == 4
        assert "aws sso login" in ended.stderr.splitlines()[-1]


def test_no_region_is_a_usage_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    ended = command("provider", "list")

    assert ended.code == 2
    assert "--region" in ended.stderr


def test_a_profile_that_is_not_there_is_a_usage_error(command: Command) -> None:
    ended = command("provider", "list", "--profile", "nobody")

    assert ended.code == 2
    assert "list-profiles" in ended.stderr


def test_a_region_that_is_none_is_a_usage_error(command: Command) -> None:
    assert command("provider", "list", "--region", "eu central").code == 2


def test_an_address_of_aws_names_its_own_region() -> None:
    url = "https://abc.execute-api.ap-southeast-2.amazonaws.com/live"

    assert find(Wanted(url=url)).region == "ap-southeast-2"


def local_stack(directory: Path, api: Api) -> None:
    (directory / ".local").mkdir()
    record = {"api_url": api.url, "endpoint_url": api.url, "region": "eu-west-1", "stack_name": "backchannel-local"}
    (directory / ".local" / "stack.json").write_text(json.dumps(record))


def test_a_local_stack_is_found_from_below_its_clone_with_its_own_credentials(
    api: Api, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_stack(tmp_path, api)
    (below := tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    api.answer("GET /providers", (200, EMPTY))

    ended = command("--local", "provider", "list")

    assert (ended.code, ended.stderr) == (0, "There is no provider yet.\n")
    assert "Credential=test/" in api.headers[0]["authorization"]


def test_no_local_stack_says_how_to_start_one(command: Command) -> None:
    ended = command("--local", "provider", "list")

    assert ended.code == 3
    assert "make up" in ended.stderr


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"environment": "prod"}, 1),
        ({"environment": "dev"}, 0),
        ({"environment": None, "tag": "prod"}, 1),
        ({"name": "our-prod-logouts", "environment": "dev"}, 1),
    ],
)
def test_account_region_and_stack_are_named_before_prod_is_changed(
    members: dict[str, Any], named: int, cloud: Api, command: Command
) -> None:
    members = {"name": "logouts", **members}
    name = members.pop("name")
    cloud.answer("DescribeStacks", (200, stacks(stack(name, cloud.url, **members))))
    cloud.answer("PATCH /providers/acme", (200, {"provider": "acme"}))

    ended = command("provider", "set", "acme", "session_lifetime=60")
    read = command("provider", "list")

    where = f"account {ACCOUNT}, region eu-central-1, stack {name}"
    assert ended.stderr.count(where) == named
    assert where not in read.stderr


def test_a_service_that_nothing_is_known_about_counts_as_prod() -> None:
    def place(url: str) -> Place:
        return Place(url, "eu-central-1", "--url", Aws())

    assert place("https://logouts.example").is_prod
    assert not place("http://127.0.0.1:4566").is_prod
