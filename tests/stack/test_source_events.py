"""Events that do not come over HTTP: by the rule of event-source.yaml, by a user pool's trigger, and while AWS fails."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import SOURCE as HTTP_SOURCE
from tests.support.provider import Json, Provider, new_secret
from tests.support.unspeakable import new_id
from tests.support.user_pool import SOURCE, UserPool, issuer_of
from tests.unit.fakes import sample

TEMPLATE = (Path(__file__).resolve().parents[2] / "event-source.yaml").read_text()


@pytest.fixture
def pool(stack: Stack, aws: Aws) -> UserPool:
    provider = Provider(stack)
    provider.issuer = issuer_of(f"eu-central-1_{secrets.token_hex(5)}")
    provider.create()
    provider.put_source(SOURCE, format="cognito")
    pool = UserPool(provider, aws=aws)
    pool.sub, pool.event_id = new_id("sub"), new_id("evt")
    return pool


# --- EventBridge ------------------------------------------------------------------------------------------------------


@contextmanager
def event_source(aws: Aws, provider: str, events: str, **parameters: str) -> Iterator[tuple[str, Json]]:
    """Deploy event-source.yaml, with a bus of its own; yield the bus and the rule."""
    cloudformation, eventbridge = aws.client("cloudformation"), aws.client("events")
    name = f"test-{secrets.token_hex(6)}"
    queue = aws.client("sqs").get_queue_attributes(QueueUrl=aws.stack.queues["SourceEventsQueue"], AttributeNames=["QueueArn"])
    given = {"QueueArn": queue["Attributes"]["QueueArn"], "Provider": provider, "Source": SOURCE, "Events": events}
    given |= {"EventBusName": name, **parameters}
    eventbridge.create_event_bus(Name=name)
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    try:
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        (rule,) = eventbridge.list_rules(EventBusName=name)["Rules"]
        yield name, rule
    finally:
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        eventbridge.delete_event_bus(Name=name)


def matches(aws: Aws, rule: Json, event: Json) -> bool:
    answer = aws.client("events").test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))
    return bool(answer["Result"])


def put(aws: Aws, bus: str, rule: Json, event: Json) -> None:
    """Put an event on a bus. AWS lets nobody put one of its own, so the rule is made to take another's."""
    eventbridge, pattern = aws.client("events"), {**json.loads(rule["EventPattern"]), "source": ["test"]}
    eventbridge.put_rule(Name=rule["Name"], EventBusName=bus, EventPattern=json.dumps(pattern))
    entry = {"EventBusName": bus, "Source": "test", "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
    assert eventbridge.put_events(Entries=[entry])["FailedEntryCount"] == 0


ENDS = ("AdminDeleteUser", "AdminDisableUser", "AdminSetUserPassword", "AdminUserGlobalSignOut", "RevokeToken")
OF_ANY_POOL = ("ChangePassword", "GlobalSignOut", "RevokeToken")


def test_the_rule_of_a_user_pool_takes_its_calls_that_end_sessions_and_those_that_name_no_pool(aws: Aws) -> None:
    with event_source(aws, "acme", "cognito", UserPoolId="eu-central-1_AbCdEfGhI") as (_, rule):
        names = (*ENDS, *OF_ANY_POOL, "AdminUserGlobalSignOut-empty-errorCode", "Logout", "Token_POST")
        taken = {name for name in names if matches(aws, rule, sample(f"cognito-eventbridge-{name}.json"))}
        other = sample("cognito-eventbridge-AdminDisableUser.json")
        other["detail"]["eventName"] = "AdminEnableUser"

        assert taken == {*ENDS, *OF_ANY_POOL}, "the one with an empty errorCode is of another pool"
        assert not matches(aws, rule, other)
        assert not matches(aws, rule, {**sample("cognito-eventbridge-GlobalSignOut.json"), "source": "somebody"})


def test_the_rule_of_a_partner_takes_its_events(aws: Aws) -> None:
    with event_source(aws, "acme", "auth0") as (_, rule):
        assert matches(aws, rule, sample("auth0-eventbridge-slo.json"))
        assert not matches(aws, rule, sample("cognito-eventbridge-GlobalSignOut.json"))


def test_an_event_on_the_bus_logs_a_user_out_who_signed_in_at_the_pool(
    pool: UserPool, aws: Aws, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party()
    pool.provider.register_client(rp, "wiki")
    pool.sign_in(pool.of_now("cognito-lambda-PreTokenGeneration-v2"))
    until(lambda: pool.provider.rp_sessions(sub=pool.sub))

    with event_source(aws, pool.provider.name, "cognito", UserPoolId=pool.id) as (bus, rule):
        put(aws, bus, rule, pool.of_now("cognito-eventbridge-AdminDisableUser"))
        (token,) = until(lambda: rp.tokens)

    assert verified(pool.provider, token).claims["sub"] == pool.sub


# --- what nobody can act on ---------------------------------------------------------------------------------------------


def dead_letters(aws: Aws, word: str) -> list[str]:
    return [each["Body"] for each in aws.messages("SourceEventsDeadLetterQueue", word)]


def test_an_event_that_its_source_refuses_is_counted_and_a_dead_letter(pool: UserPool, aws: Aws) -> None:
    event = pool.of_now("cognito-eventbridge-GlobalSignOut")
    event["detail"]["eventTime"] = "yesterday"
    aws.send("SourceEventsQueue", pool.message(event))

    until(lambda: dead_letters(aws, pool.id) or dead_letters(aws, pool.provider.name))
    until(pool.counts, holds=lambda counts: counts == {"refused": 1})
    refusal = pool.provider.get(f"/sources/{SOURCE}")["activity"]["last_refusal"]
    assert refusal["code"] == "malformed_request"


@pytest.mark.parametrize("source", [HTTP_SOURCE, "nobody"])
def test_no_event_enters_unsigned_for_a_source_whose_sender_has_to_sign(pool: UserPool, aws: Aws, source: str) -> None:
    sid = new_id("sid")
    pool.provider.start("wiki", sub=pool.sub, sid=sid)
    event = {"id": "e-1", "type": "session.ended", "timestamp": "2026-09-01T12:00:00Z", "data": {"sid": sid}}
    body = json.dumps({"provider": pool.provider.name, "source": source, "event": event})
    aws.send("SourceEventsQueue", body)

    assert until(lambda: dead_letters(aws, pool.provider.name)) == [body]
    (session,) = pool.provider.rp_sessions(sub=pool.sub)
    assert session["ended_at"] is None


def test_a_sign_in_at_a_pool_that_is_no_provider_waits_as_a_dead_letter_and_can_be_sent_again(
    stack: Stack, aws: Aws, pool: UserPool
) -> None:
    event, other = pool.of_now("cognito-lambda-PreTokenGeneration-v1"), f"eu-central-1_{secrets.token_hex(5)}"

    pool.sign_in({**event, "userPoolId": other})
    (body,) = until(lambda: dead_letters(aws, other))
    provider = Provider(stack)
    provider.issuer = issuer_of(other)
    provider.create()
    provider.put_source(SOURCE, format="cognito")
    aws.send("SourceEventsQueue", body)

    (session,) = until(lambda: provider.rp_sessions(sub=pool.sub))
    assert (session["client_id"], session["sid"]) == ("wiki", None)


def test_a_source_that_is_made_a_pools_later_keeps_neither_secret_nor_sender(pool: UserPool, aws: Aws) -> None:
    provider, name = pool.provider, "changed"
    provider.put_source(name, format="standard-webhooks", secret=new_secret())
    provider.put_source(name, format="cognito")

    message = json.loads(pool.message(pool.of_now("cognito-eventbridge-GlobalSignOut")))
    aws.send("SourceEventsQueue", json.dumps({**message, "source": name}))
    until(lambda: provider.get(f"/sources/{name}")["activity"]["counts"]["ended"] == 1)


# --- while AWS fails ----------------------------------------------------------------------------------------------------


def _lines(aws: Aws, began: float) -> list[Any]:
    found = [json.loads(line) for line in aws.log_lines("CognitoSignInLogGroup", began) if "SignInsNotHandedOn" in line]
    return [line for line in found if line["message"] == "sign_in.not_handed_on"]


@pytest.mark.alone
def test_a_sign_in_that_sqs_refuses_is_returned_counted_and_handed_on_with_the_next(pool: UserPool, aws: Aws) -> None:
    began = time.time()
    first, second = new_id("sub"), new_id("sub")
    event = pool.of_now("cognito-lambda-PreTokenGeneration-v1")
    events = [{**event, "request": {"userAttributes": {"sub": sub}}} for sub in (first, second)]
    pool.sign_in(events[1] | {"triggerSource": "TokenGeneration_RefreshTokens"})  # so that it is warm

    with aws.without("CognitoSignInRole", "sqs:SendMessage"):
        answers = [pool.sign_in(events[0])]
    (line,) = until(lambda: _lines(aws, began))
    answers.append(pool.sign_in(events[1]))

    assert answers == events
    assert (line["code"], line["detail"], line["level"]) == ("queue_unavailable", "NotTakenError: 403", "ERROR")
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"]
    for sub in (first, second):
        until(lambda sub=sub: pool.provider.rp_sessions(sub=sub))  # type: ignore[misc]


@pytest.mark.alone
@pytest.mark.parametrize("permission", [("dynamodb:UpdateItem", "Sessions"), ("dynamodb:BatchGetItem", "Sessions")])
def test_while_dynamodb_is_denied_sign_ins_go_on_and_no_start_is_lost(
    pool: UserPool, aws: Aws, permission: tuple[str, str]
) -> None:
    began, event = time.time(), pool.of_now("cognito-lambda-PreTokenGeneration-v1")

    with aws.without("SourceEventsRole", *permission):
        answer = pool.sign_in(event)
        aws.wait_until_put_off(began)

    assert json.dumps(answer) == json.dumps(event)
    (session,) = until(lambda: pool.provider.rp_sessions(sub=pool.sub), seconds=40)
    assert session["ended_at"] is None
    pool.wait_until_taken()
    assert pool.counts() == {"started": 1}


@pytest.mark.alone
def test_while_ends_cannot_be_queued_none_is_lost(pool: UserPool, aws: Aws) -> None:
    began = time.time()
    pool.begin()

    with aws.without("SourceEventsRole", "sqs:SendMessage*", "SessionEndedQueue"):
        aws.send("SourceEventsQueue", pool.message(pool.of_now("cognito-eventbridge-GlobalSignOut")))
        aws.wait_until_put_off(began)

    until(pool.ended, holds=lambda ended: ended == {"wiki", "mail", "other"}, seconds=40)


def test_the_trigger_reaches_no_table_and_no_other_queue(aws: Aws) -> None:
    trigger = aws.assume("CognitoSignInRole")

    for table in aws.stack.tables.values():
        with pytest.raises(ClientError, match="AccessDenied"):
            trigger.client("dynamodb").get_item(TableName=table, Key={"pk": {"S": "x"}, "sk": {"S": "x"}})
    with pytest.raises(ClientError, match="AccessDenied"):
        trigger.client("sqs").send_message(QueueUrl=aws.stack.queues["SessionEndedQueue"], MessageBody="{}")
