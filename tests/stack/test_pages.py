"""Blocks of docs/ that no other test runs: interface, mass-logout, sessions, operations, events, generic, cognito."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from local.client import Stack
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.snippets import blocks, exchanges, sections

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def test_the_requests_of_the_interfaces_page_configure_a_provider(provider: Provider) -> None:
    names = {"acme": provider.name, "https://idp.example": provider.issuer, "whsec_…": provider.secret}
    for exchange in exchanges(page("interface")):
        path, body = exchange.path, exchange.body
        for there, here in names.items():
            path, body = path.replace(there, here), body.replace(there, here)
        status, answer = provider.stack.admin(exchange.method, path, json.loads(body))

        assert status == 200, answer


def test_the_dry_run_of_the_mass_logout_page_ends_nothing_and_counts(provider: Provider) -> None:
    (_, body), *_ = blocks(sections(page("mass-logout"))["Plan it"], "json")

    answer = provider.stack.admin("POST", "/mass-logouts", json.loads(body.replace("acme", provider.name)))

    assert answer[0] == 200
    assert (answer[1]["sessions"], answer[1]["dry_run"]) == (0, True)


def test_the_statement_of_the_mass_logout_page_forbids_exactly_them() -> None:
    ((_, text),) = blocks(sections(page("mass-logout"))["Who may do it"], "json")
    statement = json.loads(text)
    described = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    routes = [f"{verb.upper()}{path}" for path, verbs in described.items() for verb in verbs]

    denied = [
        each for each in routes if re.search(re.escape(statement["Resource"].rpartition("/live/")[2]).replace(r"\*", ".*"), each)
    ]

    assert statement["Effect"] == "Deny"
    assert denied == [each for each in routes if "/mass-logouts" in each]


def test_the_source_of_the_sessions_page_is_taken(provider: Provider) -> None:
    ((_, body),) = blocks(page("sessions"), "json")

    source = provider.put("/sources/keycloak", json.loads(body.replace('"…"', '"a long enough secret"')))

    assert source["ends_sessions"] == json.loads(body)["ends_sessions"]


def test_the_events_and_sources_of_the_generic_page_are_taken(provider: Provider) -> None:
    shown = [content for _, content in blocks(page("providers/generic"), "json")]
    events, batch, *sources = shown

    for line in events.splitlines():
        preview = provider.post("/sources/app/preview", {"payload": json.loads(line), "event_id": secrets.token_hex(4)})
        assert len(preview["events"]) == 1, line
    assert provider.signed(batch.encode()).status == 202
    for source in map(json.loads, sources):
        secret = (
            {"secret": provider.secret if source["format"] == "standard-webhooks" else "s" * 24} if "secret" in source else {}
        )
        status, answer = provider.stack.admin("PUT", f"{provider.path}/sources/other", source | secret)
        assert status == 200 or answer["code"] == "upstream_unavailable", answer  # there is no https://idp.example


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Callable[[str], str]:
    """Run a command line with an `aws` that talks to the local AWS."""
    command = tmp_path / "aws"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.support.aws_cli "$@"\n')
    command.chmod(0o755)
    names = {"PYTHONPATH": str(ROOT), "AWS_ENDPOINT_URL": stack.endpoint_url, "AWS_DEFAULT_REGION": stack.region}
    environment = {**os.environ, **names, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(line: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own documents
            ["/bin/sh", "-eu", "-c", line], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_commands_for_dead_letters_show_one_and_delete_it(aws: Aws, run: Callable[[str], str]) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=f"docs-{secrets.token_hex(4)}")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="a dead letter")
    ((_, commands),) = blocks(page("operations"), "sh")
    receive, delete = re.sub(r"<SourceEventsDeadLetterQueueUrl[^>]*>", url, commands).splitlines()

    received = run(receive)
    run(delete.replace("<its ReceiptHandle>", re.findall(r"'ReceiptHandle': '([^']+)'", received)[0]))

    assert "a dead letter" in received
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]) == ("0", "0")
    sqs.delete_queue(QueueUrl=url)


def test_the_commands_of_the_events_page_make_a_rule_that_leads_to_a_queue(aws: Aws, run: Callable[[str], str]) -> None:
    name = f"docs-{secrets.token_hex(4)}"
    ((_, commands),) = blocks(page("events"), "sh")

    run(dedent(commands).replace("logouts-that-failed", name))

    events = aws.client("events")
    rule = events.describe_rule(Name=name)
    assert json.loads(rule["EventPattern"])["detail-type"] == ["delivery.failed"]
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    assert target["Arn"].endswith(":failed-logouts")
    events.remove_targets(Rule=name, Ids=["queue"])
    events.delete_rule(Name=name)


def test_the_command_of_the_cognito_page_lets_the_pool_call_the_trigger(aws: Aws, run: Callable[[str], str]) -> None:
    commands = [content for _, content in blocks(page("providers/cognito"), "sh")]
    (command,) = [dedent(each) for each in commands if "add-permission" in each]
    function, statement = aws.physical_id("CognitoSignInFunction"), f"docs-{secrets.token_hex(4)}"

    run(
        command.replace("<CognitoSignInFunctionArn>", function)
        .replace("--statement-id pool", f"--statement-id {statement}")
        .replace("<account>", "000000000000")
    )

    (made,) = [
        each
        for each in json.loads(aws.client("lambda").get_policy(FunctionName=function)["Policy"])["Statement"]
        if each["Sid"] == statement
    ]
    assert made["Principal"] == {"Service": "cognito-idp.amazonaws.com"}
    aws.client("lambda").remove_permission(FunctionName=function, StatementId=statement)
