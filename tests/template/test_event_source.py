"""event-source.yaml: the rule lets through what the format reads, loses nothing in silence, and fits the stack."""

import re
from typing import Any

import pytest

from backchannel.providers.table import NAME
from backchannel.webhooks import cognito
from tests.template.cloudformation import ROOT, load

TEMPLATE = load("event-source.yaml")
RESOURCES: dict[str, dict[str, Any]] = {name: each["Properties"] for name, each in TEMPLATE["Resources"].items()}
RULE, QUEUE, POLICY, ALARM = (RESOURCES[name] for name in ("Rule", "DeadLetterQueue", "DeadLetterQueuePolicy", "DeadLetterAlarm"))
(TARGET,) = RULE["Targets"]


def _pattern(value: Any, **conditions: bool) -> Any:
    """Return a part of the template where conditions hold or do not."""
    if isinstance(value, dict) and "Fn::If" in value:
        name, then, otherwise = value["Fn::If"]
        return _pattern(then if conditions[name] else otherwise, **conditions)
    if isinstance(value, dict) and value != {"Ref": "AWS::NoValue"}:
        members = {key: _pattern(each, **conditions) for key, each in value.items()}
        return {key: each for key, each in members.items() if each != {"Ref": "AWS::NoValue"}}
    return [_pattern(each, **conditions) for each in value] if isinstance(value, list) else value


def test_the_rule_lets_through_the_calls_that_the_format_ends_sessions_for() -> None:
    pattern = _pattern(RULE["EventPattern"], IsCognito=True, HasUserPool=False)

    assert (pattern["source"], pattern["detail-type"]) == (["aws.cognito-idp"], ["AWS API Call via CloudTrail"])
    assert pattern["detail"] == {"eventSource": ["cognito-idp.amazonaws.com"], "eventName": [*cognito._ENDS]}


def test_a_user_pools_rule_takes_the_calls_that_name_no_pool_too() -> None:
    detail = _pattern(RULE["EventPattern"], IsCognito=True, HasUserPool=True)["detail"]

    assert [each["requestParameters"]["userPoolId"] for each in detail["$or"]] == [[{"Ref": "UserPoolId"}], [{"exists": False}]]


def test_a_partners_rule_takes_all_that_comes_from_it() -> None:
    assert _pattern(RULE["EventPattern"], IsCognito=False) == {"source": [{"prefix": "aws.partner/auth0.com/"}]}
    assert RULE["EventBusName"] == {"Ref": "EventBusName"}


def test_the_message_names_the_source_and_holds_the_whole_event() -> None:
    template = TARGET["InputTransformer"]["InputTemplate"]["Fn::Sub"]

    assert template == '{"provider": "${Provider}", "source": "${Source}", "event": <aws.events.event.json>}'
    for name in ("Provider", "Source"):
        assert TEMPLATE["Parameters"][name]["AllowedPattern"] == NAME, "nothing that could end a string of JSON"
    assert TARGET["Arn"] == {"Ref": "QueueArn"}


def test_what_cannot_be_sent_is_kept_encrypted_and_raises_an_alarm() -> None:
    assert TARGET["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}}
    assert "RetryPolicy" not in TARGET, "EventBridge tries for a day by itself"
    assert (QUEUE["SqsManagedSseEnabled"], QUEUE["MessageRetentionPeriod"]) == (True, 1_209_600)
    (statement,) = POLICY["PolicyDocument"]["Statement"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}}
    assert (ALARM["MetricName"], ALARM["Statistic"], ALARM["Threshold"]) == ("ApproximateNumberOfMessagesVisible", "Maximum", 1)
    assert ALARM["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetterQueue", "QueueName"]}}]


def test_every_parameter_is_described_and_used() -> None:
    text = (ROOT / "event-source.yaml").read_text()

    for name, parameter in TEMPLATE["Parameters"].items():
        assert parameter["Description"]
        assert f"!Ref {name}" in text or f"${{{name}}}" in text


def test_the_queues_arn_is_that_of_a_queue() -> None:
    pattern = TEMPLATE["Parameters"]["QueueArn"]["AllowedPattern"]

    assert re.fullmatch(pattern, "arn:aws-cn:sqs:cn-north-1:123456789012:stack-SourceEventsQueue-1")
    assert not re.fullmatch(pattern, "https://sqs.eu-central-1.amazonaws.com/123456789012/queue")


@pytest.mark.parametrize("page", ["cognito.md", "auth0.md"])
def test_the_commands_of_the_pages_give_every_parameter_that_has_no_default_and_no_other(page: str) -> None:
    commands = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "providers" / page).read_text(), re.DOTALL)
    (command,) = [each for each in commands if "cloudformation deploy --template-file event-source.yaml" in each]

    given = set(re.findall(r"(\w+)=", command))

    needed = {name for name, each in TEMPLATE["Parameters"].items() if "Default" not in each}
    assert needed <= given <= TEMPLATE["Parameters"].keys()
