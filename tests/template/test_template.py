"""Policies of this project that no linter knows."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from annotated_types import Ge, Le

from backchannel.api.requests import ClientMetadata, SourceMetadata
from backchannel.api.resolver import app
from backchannel.aws import secrets
from tests.template.cloudformation import ROOT, as_list, load

TEMPLATE = load()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]

WILDCARDS = {
    ("SigningPolicy", "…:key/*"): "keys are made at run time; the stack's tag tells them from others",
    ("KeyRotationRole", "…:key/*"): "the same",
    ("KeyRotationRole", "*"): "a key that is not made yet has no name; tag:GetResources knows no resources",
    ("TracingPolicy", "*"): "X-Ray has no resources",
    (
        "WebhookRole",
        "…:secret:backchannel/${AWS::StackName}/*",
    ): "sources are configured at run time; the prefix is the stack's own",
    ("AdminRole", "…:secret:backchannel/${AWS::StackName}/*"): "the same",
}
"""Every policy's resource with an asterisk in it, and why it cannot do without."""

OPEN_FUNCTIONS = {"WebhookFunction", "DiscoveryFunction"}
"""Each webhook proves itself to the function; keys are public. Whatever else the API has is signed with SigV4."""


class Statement(NamedTuple):
    """A statement of a policy, and the resource that the policy belongs to."""

    owner: str
    body: dict[str, Any]

    @property
    def actions(self) -> list[str]:
        return as_list(self.body["Action"])

    @property
    def resources(self) -> list[Any]:
        return as_list(self.body.get("Resource", []))


class Source(NamedTuple):
    """An SQS event source: the function that it feeds, and the queue that it reads."""

    function: str
    queue: str
    properties: dict[str, Any]


def _of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: resource.get("Properties", {}) for name, resource in RESOURCES.items() if resource["Type"] == kind}


FUNCTIONS = _of_type("AWS::Serverless::Function")
QUEUES = _of_type("AWS::SQS::Queue")
TABLES = _of_type("AWS::DynamoDB::Table")
ALARMS = _of_type("AWS::CloudWatch::Alarm")
ROLES = _of_type("AWS::IAM::Role")
REDRIVES = {
    name: queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    for name, queue in QUEUES.items()
    if "RedrivePolicy" in queue
}


def _sources() -> Iterator[Source]:
    for function, properties in FUNCTIONS.items():
        for event in properties.get("Events", {}).values():
            if event["Type"] == "SQS":
                yield Source(function, event["Properties"]["Queue"]["Fn::GetAtt"][0], event["Properties"])


def _methods(function: str) -> dict[tuple[str, str], dict[str, Any]]:
    events = FUNCTIONS[function].get("Events", {}).values()
    described = [event["Properties"] for event in events if event["Type"] == "Api"]
    return {(each["Method"].upper(), each["Path"]): each for each in described}


def _statements() -> Iterator[Statement]:
    for name, resource in RESOURCES.items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", []) if isinstance(policy, dict)]
        documents += [properties[key] for key in ("PolicyDocument", "KeyPolicy") if key in properties]
        for document in documents:
            for body in document["Statement"]:
                yield Statement(name, body["Fn::If"][1] if "Fn::If" in body else body)  # a statement, or nothing


def _settings(function: str) -> set[str]:
    """Return the variables that a handler's Settings are read from."""
    tree = ast.parse((ROOT / FUNCTIONS[function]["CodeUri"] / "app.py").read_text())
    (settings,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    return {
        node.target.id.upper() for node in settings.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _dashboard(*, has_event_bus: bool) -> str:
    """Return the body of the dashboard, with the names of resources in the place of what they are called."""
    text, parts = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, part in parts.items():
        condition, *either = part["Fn::If"]
        assert condition == "HasEventBus"
        chosen = either[0 if has_event_bus else 1]
        text = text.replace(f"${{{name}}}", chosen["Fn::Sub"] if isinstance(chosen, dict) else chosen)
    return re.sub(r"\$\{([\w:.]+)\}", r"\1", text)


STATEMENTS = list(_statements())
SOURCES = list(_sources())

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_table = pytest.mark.parametrize("name", TABLES)
every_queue = pytest.mark.parametrize("name", QUEUES)
every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.queue}-{source.function}")
every_redrive = pytest.mark.parametrize(("queue", "dead_letter_queue"), REDRIVES.items())


# --- Functions --------------------------------------------------------------------------------------------------------


def test_every_directory_of_functions_is_deployed() -> None:
    directories = {f"functions/{path.parent.name}" for path in (ROOT / "functions").glob("*/app.py")}

    assert {function["CodeUri"] for function in FUNCTIONS.values()} == directories


@every_function
def test_a_function_has_a_role_of_its_own(name: str) -> None:
    role = FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]

    assert role in ROLES
    assert [other for other, function in FUNCTIONS.items() if function["Role"]["Fn::GetAtt"][0] == role] == [name]
    assert "Policies" not in FUNCTIONS[name]


@every_function
def test_a_function_writes_only_to_its_own_log_group_which_has_a_retention(name: str) -> None:
    logging = {**TEMPLATE["Globals"]["Function"]["LoggingConfig"], **FUNCTIONS[name]["LoggingConfig"]}
    group = logging["LogGroup"]["Ref"]

    assert (logging["LogFormat"], logging["ApplicationLogLevel"]) == ("JSON", "INFO")
    assert RESOURCES[group]["Type"] == "AWS::Logs::LogGroup"
    assert RESOURCES[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert [other for other, function in FUNCTIONS.items() if function["LoggingConfig"]["LogGroup"]["Ref"] == group] == [name]
    role = FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]
    written = [
        statement.resources for statement in STATEMENTS if statement.owner == role and "logs:PutLogEvents" in statement.actions
    ]
    assert written == [[{"Fn::GetAtt": [group, "Arn"]}]]


@every_function
def test_one_failure_of_a_function_raises_an_alarm(name: str) -> None:
    (alarm,) = [
        alarm
        for alarm in ALARMS.values()
        if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
        and alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": name}}]
    ]

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


@every_function
def test_one_throttled_invocation_of_a_function_raises_an_alarm(name: str) -> None:
    (alarm,) = _alarms("AWS/Lambda", "Throttles", {"FunctionName": {"Ref": name}})

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)


@every_function
def test_a_function_has_enough_cpu_to_be_worth_its_price(name: str) -> None:
    assert {**TEMPLATE["Globals"]["Function"], **FUNCTIONS[name]}["MemorySize"] >= 512


def test_as_many_sessions_are_fanned_out_at_once_as_kms_can_sign_for() -> None:
    assert TEMPLATE["Parameters"]["FanoutConcurrency"]["Default"] == 20


def test_a_pass_over_expired_sessions_runs_once() -> None:
    expiry = FUNCTIONS["SessionExpiryFunction"]
    (schedule,) = expiry["Events"].values()

    assert expiry["EventInvokeConfig"]["MaximumRetryAttempts"] == 0
    assert expiry["EventInvokeConfig"]["MaximumEventAgeInSeconds"] <= 3600, "then comes the next"
    assert schedule["Properties"]["RetryPolicy"]["MaximumRetryAttempts"] == 0


@pytest.mark.parametrize(
    ("partition", "store", "bundle"),
    [
        ("aws", "amazon", "/opt/amazon-roots.pem"),
        ("aws", "botocore", None),
        ("aws-cn", "amazon", None),
        ("aws-us-gov", "amazon", None),
    ],
)
def test_calls_to_aws_trust_amazon_alone_unless_elsewhere_or_told_otherwise(
    partition: str, store: str, bundle: str | None
) -> None:
    condition, then, otherwise = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]["AWS_CA_BUNDLE"]["Fn::If"]
    values = {"AWS::Partition": partition, "AwsTrustStore": store}

    holds = all(values[left["Ref"]] == right for left, right in _equalities(TEMPLATE["Conditions"][condition]))

    assert (then if holds else otherwise) == (bundle or {"Ref": "AWS::NoValue"})
    assert TEMPLATE["Parameters"]["AwsTrustStore"]["Default"] == "amazon"


@every_function
def test_a_function_gets_exactly_the_settings_that_it_reads(name: str) -> None:
    given = {
        *TEMPLATE["Globals"]["Function"]["Environment"]["Variables"],
        *FUNCTIONS[name].get("Environment", {}).get("Variables", {}),
    }

    assert {variable for variable in given if not variable.startswith(("POWERTOOLS_", "AWS_"))} == _settings(name)


@every_function
def test_a_function_names_itself_in_logs_and_metrics(name: str) -> None:
    service = FUNCTIONS[name]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]

    assert FUNCTIONS[name]["CodeUri"] == f"functions/{service}"


@every_function
def test_a_function_has_a_timeout_that_its_trigger_waits_for(name: str) -> None:
    assert FUNCTIONS[name]["Timeout"] >= 1
    assert FUNCTIONS[name]["Timeout"] <= (29 if _methods(name) else 900), "API Gateway waits 29 s at the most"


# --- Permissions ------------------------------------------------------------------------------------------------------


def test_every_wildcard_in_a_policys_resource_has_a_reason() -> None:
    found = {
        (statement.owner, re.sub(r"^.*(?=:secret:|:key/)", "…", text))
        for statement in STATEMENTS
        for text in (_text(resource) for resource in statement.resources)
        if "*" in text
    }

    assert found == set(WILDCARDS)


STACKS_TAG = "backchannel:stack"


@pytest.mark.parametrize(
    "action", sorted({each for statement in STATEMENTS for each in statement.actions if "secretsmanager:" in each})
)
def test_a_role_reaches_secrets_of_this_stack_alone(action: str) -> None:
    (statement,) = [statement for statement in STATEMENTS if action in statement.actions]
    condition = statement.body.get("Condition")

    assert [_text(resource).split(":secret:")[1] for resource in statement.resources] == ["backchannel/${AWS::StackName}/*"]
    if action in {"secretsmanager:CreateSecret", "secretsmanager:TagResource"}:
        assert condition == _has_tag("aws:RequestTag")
    elif action != "secretsmanager:DescribeSecret":  # it tells whose a secret is, and nothing that is secret
        assert condition == {"Fn::If": ["IsLocal", {"Ref": "AWS::NoValue"}, _has_tag("aws:ResourceTag")]}


def _has_tag(of: str) -> dict[str, Any]:
    return {"StringEquals": {f"{of}/{STACKS_TAG}": {"Ref": "AWS::StackName"}}}


def test_the_stack_s_tag_is_the_one_that_is_set() -> None:
    assert STACKS_TAG == secrets.TAG
    assert FUNCTIONS["AdminFunction"]["Environment"]["Variables"]["STACK_NAME"] == {"Ref": "AWS::StackName"}
    assert TEMPLATE["Conditions"]["IsLocal"] == {"Fn::Equals": [{"Ref": "Environment"}, "local"]}


def test_every_action_on_secrets_is_needed_and_granted() -> None:
    granted = {(statement.owner, each) for statement in STATEMENTS for each in statement.actions if "secretsmanager:" in each}

    assert granted == {
        ("WebhookRole", "secretsmanager:GetSecretValue"),
        *(
            ("AdminRole", f"secretsmanager:{action}")
            for action in ("CreateSecret", "TagResource", "DescribeSecret", "PutSecretValue", "RestoreSecret", "DeleteSecret")
        ),
    }


def test_discovery_reads_providers_and_keeps_copies_and_can_do_nothing_else() -> None:
    assert _granted("DiscoveryRole") == {
        ("dynamodb:GetItem", "ProvidersTable"),
        ("dynamodb:GetItem", "FetchedDocumentsTable"),
        ("dynamodb:UpdateItem", "FetchedDocumentsTable"),
    }


def _granted(role: str) -> set[tuple[str, str]]:
    """Return what a role may do, and to what; whoever runs writes its log."""
    return {
        (action, resource["Fn::GetAtt"][0])
        for statement in STATEMENTS
        if statement.owner == role
        for action in statement.actions
        for resource in statement.resources
        if not action.startswith("logs:")
    }


def _who_reaches(table: str) -> set[tuple[str, str]]:
    return {
        (statement.owner, action)
        for statement in STATEMENTS
        for action in statement.actions
        if {"Fn::GetAtt": [table, "Arn"]} in statement.resources
    }


def test_copies_of_documents_are_kept_by_those_who_read_them_alone() -> None:
    assert _who_reaches("FetchedDocumentsTable") == {
        ("DiscoveryRole", "dynamodb:GetItem"),
        ("DiscoveryRole", "dynamodb:UpdateItem"),
        ("AdminRole", "dynamodb:UpdateItem"),  # it fetches, and goes on with no copy
    }
    assert _who_reaches("SenderDocumentsTable") == {
        ("WebhookRole", "dynamodb:GetItem"),
        ("WebhookRole", "dynamodb:UpdateItem"),
    }
    assert _who_reaches("ClientDocumentsTable") == {
        ("DeliveryRole", "dynamodb:GetItem"),
        ("DeliveryRole", "dynamodb:UpdateItem"),
    }


def test_who_counts_what_a_source_sends_can_neither_configure_one_nor_read_the_counts() -> None:
    assert _who_reaches("SourceActivityTable") == {
        ("WebhookRole", "dynamodb:UpdateItem"),
        ("SourceEventsRole", "dynamodb:UpdateItem"),
        ("SessionEndedRole", "dynamodb:UpdateItem"),
        ("SourceSilenceRole", "dynamodb:GetItem"),
        ("AdminRole", "dynamodb:UpdateItem"),
        ("AdminRole", "dynamodb:GetItem"),
        ("AdminRole", "dynamodb:DeleteItem"),
    }
    writing = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
    assert {owner for owner, action in _who_reaches("ProvidersTable") if action in writing} == {"AdminRole", "KeyRotationRole"}


def test_who_counts_deliveries_cannot_read_the_counts_and_who_shows_them_cannot_change_them() -> None:
    assert _who_reaches("ClientCountsTable") == {
        ("DeliveryRole", "dynamodb:UpdateItem"),
        ("AdminRole", "dynamodb:BatchGetItem"),
    }


def test_an_index_is_read_for_reports_and_to_hasten_what_waits_anyway_alone() -> None:
    of_indexes = [each for each in STATEMENTS if any("/index/" in str(resource) for resource in each.resources)]

    assert {(each.owner, *each.actions) for each in of_indexes} == {
        ("AdminRole", "dynamodb:Query"),
        ("DeliveryRole", "dynamodb:Query"),
    }
    (hastens,) = [each for each in of_indexes if each.owner == "DeliveryRole"]
    assert str(hastens.resources).count("by_client") == 1


def test_the_index_of_logouts_is_written_for_nothing_but_a_logouts_time() -> None:
    (index,) = [each for each in TABLES["DeliveriesTable"]["GlobalSecondaryIndexes"] if each["IndexName"] == "logouts_by_time"]

    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_the_check_for_silent_sources_reads_and_can_do_nothing_else() -> None:
    assert _granted("SourceSilenceRole") == {("dynamodb:Query", "ProvidersTable"), ("dynamodb:GetItem", "SourceActivityTable")}


def test_what_takes_events_without_http_in_can_do_what_a_webhook_can_and_reads_no_secret() -> None:
    assert _granted("SourceEventsRole") == {
        *((f"sqs:{action}", "SourceEventsQueue") for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")),
        ("sqs:ChangeMessageVisibility", "SourceEventsQueue"),
        ("dynamodb:GetItem", "ProvidersTable"),
        ("dynamodb:Query", "ProvidersTable"),
        ("dynamodb:UpdateItem", "SessionsTable"),
        ("dynamodb:BatchGetItem", "SessionsTable"),
        ("dynamodb:UpdateItem", "SourceActivityTable"),
        ("sqs:SendMessage*", "SessionEndedQueue"),
        ("sqs:SendMessage*", "SourceEventsDeadLetterQueue"),
    }


def test_a_user_pools_trigger_can_hand_on_and_nothing_else() -> None:
    assert _granted("CognitoSignInRole") == {("sqs:SendMessage", "SourceEventsQueue")}
    variables = FUNCTIONS["CognitoSignInFunction"]["Environment"]["Variables"]
    assert set(variables) == {"POWERTOOLS_SERVICE_NAME", "SOURCE_EVENTS_QUEUE_URL"}
    assert "Events" not in FUNCTIONS["CognitoSignInFunction"], "operators attach it to their user pools"


def test_of_what_is_not_this_stack_only_rules_of_the_account_send_to_the_queue_of_source_events() -> None:
    policies = _of_type("AWS::SQS::QueuePolicy")
    ((policy,),) = [each["PolicyDocument"]["Statement"] for each in policies.values()]

    assert [each["Queues"] for each in policies.values()] == [[{"Ref": "SourceEventsQueue"}]]
    assert (policy["Principal"], policy["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    rules = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/*"
    assert policy["Condition"] == {"ArnLike": {"aws:SourceArn": {"Fn::Sub": rules}}}
    assert TEMPLATE["Outputs"]["SourceEventsQueueArn"]["Value"] == {"Fn::GetAtt": ["SourceEventsQueue", "Arn"]}


def test_who_may_send_to_the_queue_of_source_events() -> None:
    queue = {"Fn::GetAtt": ["SourceEventsQueue", "Arn"]}
    senders = {each.owner for each in STATEMENTS if queue in each.resources and "sqs:SendMessage" in str(each.actions)}

    assert senders == {"WebhookRole", "CognitoSignInRole", "SourceEventsQueuePolicy"}


def test_one_sign_in_that_is_not_handed_on_raises_an_alarm() -> None:
    (alarm,) = _alarms({"Ref": "AWS::StackName"}, "SignInsNotHandedOn", {"service": "cognito_sign_in"})

    assert (alarm["Statistic"], alarm["Threshold"], alarm["Period"]) == ("Sum", 1, 60)


def test_no_policy_allows_all_actions_of_a_service() -> None:
    wide = {action for statement in STATEMENTS for action in statement.actions if "*" in action}

    assert wide <= {"sqs:SendMessage*"}, "SendMessage and SendMessageBatch, which IAM knows as one"


def test_every_statement_allows_and_names_its_resources() -> None:
    for statement in STATEMENTS:
        assert statement.body["Effect"] == "Allow" or statement.owner == "KeyRotationRole"
        assert not {"NotAction", "NotResource", "NotPrincipal"} & statement.body.keys()
        assert statement.resources


def test_only_delivery_can_sign_with_the_stacks_keys_and_those_that_a_parameter_names() -> None:
    ours, own = [statement for statement in STATEMENTS if {"kms:Sign", "kms:*", "*"} & set(statement.actions)]

    assert (ours.owner, own.owner) == ("SigningPolicy", "SigningPolicy")
    assert ours.actions == own.actions == ["kms:Sign"]
    assert ours.body["Condition"] == _has_tag("aws:ResourceTag")
    assert own.resources == [{"Ref": "ProviderKeyArns"}]
    assert RESOURCES["SigningPolicy"]["Properties"]["Roles"] == [{"Ref": "DeliveryRole"}]


def test_key_rotation_reaches_keys_of_this_stack_alone() -> None:
    of_keys = [statement for statement in STATEMENTS if any(each.startswith("kms:") for each in statement.actions)]
    allowed = [each for each in of_keys if each.body["Effect"] == "Allow" and each.owner != "SigningPolicy"]
    own = [each for each in allowed if each.resources == [{"Ref": "ProviderKeyArns"}]]
    allowed = [each for each in allowed if each not in own]

    assert [(each.owner, each.actions) for each in own] == [("AdminRole", ["kms:GetPublicKey"])]

    assert [(statement.owner, set(statement.actions), statement.body["Condition"]) for statement in allowed] == [
        ("KeyRotationRole", {"kms:CreateKey", "kms:TagResource"}, _has_tag("aws:RequestTag")),
        (
            "KeyRotationRole",
            {"kms:GetPublicKey", "kms:GetKeyPolicy", "kms:DescribeKey", "kms:ScheduleKeyDeletion"},
            _has_tag("aws:ResourceTag"),
        ),
    ]


def test_key_rotation_can_neither_tag_nor_delete_a_key_that_encrypts() -> None:
    (denied,) = [statement for statement in STATEMENTS if statement.body["Effect"] == "Deny"]

    assert set(denied.actions) == {"kms:TagResource", "kms:ScheduleKeyDeletion"}
    # ForAnyValue: where a request has no such key, the statement must not deny it.
    assert denied.body["Condition"] == {"ForAnyValue:StringNotEquals": {"kms:KeyUsage": "SIGN_VERIFY"}}


def test_a_new_signing_key_waits_for_an_hour_at_least() -> None:
    parameter = TEMPLATE["Parameters"]["KeyWaitSeconds"]
    variables = FUNCTIONS["KeyRotationFunction"]["Environment"]["Variables"]

    assert (parameter["MinValue"], parameter["Default"]) == (3600, 86_400)
    assert variables["KEY_WAIT"] == variables["KEY_GRACE"] == {"Ref": "KeyWaitSeconds"}


def test_key_rotation_makes_its_passes_and_repeats_none() -> None:
    rotation = FUNCTIONS["KeyRotationFunction"]
    (schedule,) = rotation["Events"].values()

    assert schedule["Properties"]["ScheduleExpression"] == "rate(15 minutes)"
    assert schedule["Properties"].get("State", "ENABLED") == "ENABLED"
    assert rotation["EventInvokeConfig"]["MaximumRetryAttempts"] == 0
    assert schedule["Properties"]["RetryPolicy"]["MaximumRetryAttempts"] == 0


def test_silent_sources_are_looked_for_as_often_as_the_shortest_interval_and_no_check_is_repeated() -> None:
    silence = FUNCTIONS["SourceSilenceFunction"]
    (schedule,) = silence["Events"].values()
    (shortest,) = [each.ge for each in SourceMetadata.model_fields["expected_interval"].metadata if isinstance(each, Ge)]

    assert (schedule["Properties"]["ScheduleExpression"], shortest) == ("rate(5 minutes)", 300)
    assert schedule["Properties"].get("State", "ENABLED") == "ENABLED"
    assert silence["EventInvokeConfig"]["MaximumRetryAttempts"] == 0
    assert silence["EventInvokeConfig"]["MaximumEventAgeInSeconds"] <= 300, "then comes the next"
    assert silence["Timeout"] < 300
    assert schedule["Properties"]["RetryPolicy"]["MaximumRetryAttempts"] == 0


def test_one_silent_source_raises_an_alarm_that_lasts_from_check_to_check() -> None:
    (alarm,) = _alarms({"Ref": "AWS::StackName"}, "SourcesSilent", {"service": "source_silence"})

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 1)
    assert (alarm["DatapointsToAlarm"], alarm["Period"] * alarm["EvaluationPeriods"]) == (1, 600)


def test_one_stream_that_stops_raises_an_alarm() -> None:
    (alarm,) = _alarms({"Ref": "AWS::StackName"}, "StreamsStopped", {"service": "webhook"})

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 60


def test_what_a_source_has_sent_never_expires() -> None:
    assert "TimeToLiveSpecification" not in TABLES["SourceActivityTable"]


def test_a_new_policy_on_a_signing_key_raises_an_alarm() -> None:
    (alarm,) = _alarms({"Ref": "AWS::StackName"}, "KeyPoliciesChanged", {"service": "key_rotation"})

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)


@pytest.mark.parametrize("name", ROLES)
def test_a_role_can_be_assumed_by_one_aws_service_only(name: str) -> None:
    (statement,) = ROLES[name]["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Action"] == "sts:AssumeRole"
    assert set(statement["Principal"]) == {"Service"}
    assert statement["Principal"]["Service"].endswith(".amazonaws.com")


@pytest.mark.parametrize("name", ROLES)
def test_a_role_has_no_managed_policy_but_the_stacks_own(name: str) -> None:
    assert ROLES[name].get("ManagedPolicyArns", []) in ([], [{"Ref": "TracingPolicy"}])


# --- Queues -----------------------------------------------------------------------------------------------------------


@every_source
def test_a_function_tells_sqs_which_messages_of_a_batch_failed(source: Source) -> None:
    assert source.properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@every_source
def test_no_queue_can_use_up_the_accounts_concurrency(source: Source) -> None:
    concurrency = source.properties["ScalingConfig"]["MaximumConcurrency"]

    number = TEMPLATE["Parameters"][concurrency["Ref"]]["MinValue"] if isinstance(concurrency, dict) else concurrency
    assert number >= 2, "SQS takes no less"


@every_source
def test_a_visibility_timeout_is_six_times_the_consumers_timeout(source: Source) -> None:
    window = source.properties.get("MaximumBatchingWindowInSeconds", 0)

    assert QUEUES[source.queue]["VisibilityTimeout"] >= 6 * FUNCTIONS[source.function]["Timeout"] + window


def test_every_working_queue_has_a_consumer_and_a_dead_letter_queue() -> None:
    working = set(QUEUES) - set(REDRIVES.values())

    assert working == {source.queue for source in SOURCES} == set(REDRIVES)


@every_redrive
def test_a_dead_letter_queue_keeps_messages_longer_than_its_source(queue: str, dead_letter_queue: str) -> None:
    assert QUEUES[dead_letter_queue]["MessageRetentionPeriod"] > QUEUES[queue]["MessageRetentionPeriod"]


@every_redrive
def test_one_dead_letter_raises_an_alarm(queue: str, dead_letter_queue: str) -> None:  # noqa: ARG001 - the row's other half
    (alarm,) = [
        alarm
        for alarm in ALARMS.values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
        and alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": [dead_letter_queue, "QueueName"]}
    ]

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 1), "a gauge: its sum counts one message many times"
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


def test_a_delivery_is_given_up_before_sqs_drops_its_message() -> None:
    (bounds,) = [each.le for each in ClientMetadata.model_fields["give_up_after"].metadata if isinstance(each, Le)]

    assert bounds < QUEUES["RetryQueue"]["MessageRetentionPeriod"]


@every_queue
def test_a_queue_is_encrypted(name: str) -> None:
    assert QUEUES[name]["SqsManagedSseEnabled"] is True


def test_waiting_first_attempts_and_fan_outs_raise_an_alarm() -> None:
    watched = {
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        if alarm["MetricName"] == "ApproximateAgeOfOldestMessage" and alarm["Statistic"] == "Maximum"
    }

    assert watched >= {"SessionEndedQueue", "SourceEventsQueue", "DeliveryQueue"}


@pytest.mark.parametrize("service", ["session_ended", "source_events", "delivery"])
def test_messages_that_internal_failures_hold_up_raise_an_alarm(service: str) -> None:
    (alarm,) = _alarms({"Ref": "AWS::StackName"}, "Postponed", {"service": service})

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)


@every_source
def test_an_alarm_comes_before_sqs_hands_out_no_more_messages(source: Source) -> None:
    queue = {"Fn::GetAtt": [source.queue, "QueueName"]}
    (alarm,) = _alarms("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", {"QueueName": queue})

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 90_000), "SQS stops at about 120 000"


# --- Tables and keys --------------------------------------------------------------------------------------------------


@every_table
def test_a_table_is_encrypted_and_can_be_restored(name: str) -> None:
    assert TABLES[name]["SSESpecification"]["SSEEnabled"] is True
    assert TABLES[name]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


@pytest.mark.parametrize(
    "name",
    [
        *("SessionsTable", "DeliveriesTable", "ClientCountsTable"),
        *("FetchedDocumentsTable", "ClientDocumentsTable", "SenderDocumentsTable"),
    ],
)
def test_what_is_not_configuration_expires(name: str) -> None:
    assert TABLES[name]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_providers_never_expire() -> None:
    assert "TimeToLiveSpecification" not in TABLES["ProvidersTable"]


@pytest.mark.parametrize("name", TABLES)
def test_in_prod_tables_survive_deletion_and_replacement(name: str) -> None:
    by_environment = {"Fn::FindInMap": ["Environments", {"Ref": "Environment"}, "DeletionPolicy"]}

    assert RESOURCES[name]["DeletionPolicy"] == by_environment
    assert RESOURCES[name]["UpdateReplacePolicy"] == by_environment
    assert TEMPLATE["Mappings"]["Environments"]["prod"]["DeletionPolicy"] == "Retain"


def test_every_environment_has_a_deletion_policy() -> None:
    assert set(TEMPLATE["Mappings"]["Environments"]) == set(TEMPLATE["Parameters"]["Environment"]["AllowedValues"])


# --- Alarms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_has_a_description_and_notifies_the_topic(name: str) -> None:
    assert ALARMS[name]["AlarmDescription"]
    assert ALARMS[name]["AlarmActions"] == [{"Fn::If": ["HasAlarmTopic", {"Ref": "AlarmTopicArn"}, {"Ref": "AWS::NoValue"}]}]
    assert ALARMS[name]["TreatMissingData"] == "notBreaching"


def test_one_webhook_that_is_refused_raises_an_alarm() -> None:
    path = "/webhooks/{provider}/{source}"
    dimensions = {"ApiName": {"Ref": "AWS::StackName"}, "Stage": "live", "Method": "POST", "Resource": path}
    (alarm,) = _alarms("AWS/ApiGateway", "4XXError", dimensions)
    (settings,) = RESOURCES["Api"]["Properties"]["MethodSettings"]

    assert set(_methods("WebhookFunction")) == {("POST", path), ("GET", path)}, "a GET brings no events"
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", {"Ref": "WebhookRefusedThreshold"})
    assert TEMPLATE["Parameters"]["WebhookRefusedThreshold"]["Default"] == 1
    assert settings["MetricsEnabled"] is True, "there is no metric of a method without it"


def test_every_alarm_has_a_row_in_the_operations_guide() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    rows = "".join(re.findall(r"^\| `.*?Alarm`.*? \|", guide, re.MULTILINE))
    named = [name.replace("…", "") for name in re.findall(r"`(\S+Alarm)`", rows)]

    assert [name for name in ALARMS if not any(name.endswith(each) for each in named)] == []


@pytest.mark.parametrize(("metric", "seconds"), [("UpstreamStale", 600), ("KidClashes", 60)])
def test_trouble_with_what_a_provider_publishes_raises_an_alarm(metric: str, seconds: int) -> None:
    (alarm,) = _alarms({"Ref": "AWS::StackName"}, metric, {"service": "discovery"})

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)
    assert alarm["Period"] * alarm["EvaluationPeriods"] == seconds


# --- API --------------------------------------------------------------------------------------------------------------


def test_the_api_needs_iam_unless_a_method_says_otherwise() -> None:
    for api in _of_type("AWS::Serverless::Api").values():
        assert api["Auth"] == {"DefaultAuthorizer": "AWS_IAM", "InvokeRole": "NONE"}


@every_function
def test_only_webhooks_and_discovery_need_no_iam(name: str) -> None:
    is_open = {properties.get("Auth") == {"Authorizer": "NONE"} for properties in _methods(name).values()}
    has_auth = {"Auth" in properties for properties in _methods(name).values()}

    assert is_open <= {name in OPEN_FUNCTIONS}
    assert has_auth <= {name in OPEN_FUNCTIONS}


@every_function
def test_every_method_belongs_to_the_one_api(name: str) -> None:
    for properties in _methods(name).values():
        assert properties["RestApiId"] == {"Ref": "Api"}


def test_no_two_functions_serve_the_same_method_and_path() -> None:
    methods = [method for name in FUNCTIONS for method in _methods(name)]

    assert len(set(methods)) == len(methods)


def test_discovery_has_the_head_of_whatever_can_be_read() -> None:
    methods = _methods("DiscoveryFunction")

    paths = {path for _, path in methods}
    assert paths == {f"/providers/{{provider}}/{name}" for name in ("jwks.json", ".well-known/openid-configuration")}
    assert set(methods) == {(method, path) for method in ("GET", "HEAD") for path in paths}


def test_the_operators_routes_are_those_of_the_resolver() -> None:
    routes = {
        (route.method, route.path.replace("<", "{").replace(">", "}")) for route in (*app._static_routes, *app._dynamic_routes)
    }

    assert set(_methods("AdminFunction")) == routes


def test_the_description_of_the_interface_has_every_method_and_says_which_need_iam() -> None:
    described = {
        (method.upper(), path): operation.get("security") == []
        for path, methods in json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"].items()
        for method, operation in methods.items()
    }

    assert described == {
        method: properties.get("Auth") == {"Authorizer": "NONE"}
        for name in FUNCTIONS
        for method, properties in _methods(name).items()
    }


def test_a_message_that_wakes_a_client_may_be_followed_by_many() -> None:
    assert FUNCTIONS["DeliveryFunction"]["RecursiveLoop"] == "Allow"


# --- Parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_a_parameter_is_described_and_has_a_default(name: str) -> None:
    assert TEMPLATE["Parameters"][name]["Description"]
    assert "Default" in TEMPLATE["Parameters"][name]


@pytest.mark.parametrize("name", TEMPLATE["Parameters"]["Environment"]["AllowedValues"])
def test_samconfig_uses_existing_parameters_and_allowed_values(name: str) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides = dict(each.split("=", 1) for each in config[name]["deploy"]["parameters"]["parameter_overrides"])

    assert overrides["Environment"] == name
    for parameter, value in overrides.items():
        described = TEMPLATE["Parameters"][parameter]
        assert value in {str(allowed) for allowed in described.get("AllowedValues", [value])}
        assert float(value) >= described["MinValue"] if "MinValue" in described else True


def test_only_the_local_environment_permits_private_networks() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    permitting = [
        name
        for name in TEMPLATE["Parameters"]["Environment"]["AllowedValues"]
        if "PermitPrivateNetworks=true" in config[name]["deploy"]["parameters"]["parameter_overrides"]
    ]

    assert permitting == ["local"]
    assert TEMPLATE["Parameters"]["PermitPrivateNetworks"]["Default"] == "false"


def test_every_parameter_is_used() -> None:
    text = (ROOT / "template.yaml").read_text()

    unused = [name for name in TEMPLATE["Parameters"] if f"!Ref {name}" not in text and f"${{{name}}}" not in text]
    assert unused == []


def _alarms(namespace: Any, metric: str, dimensions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alarms on a metric that are raised when it reaches their threshold."""
    wanted = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return [
        alarm
        for alarm in ALARMS.values()
        if (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"]) == (namespace, metric, wanted)
        and alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    ]


def _equalities(condition: dict[str, Any]) -> list[list[Any]]:
    """Return the pairs of a condition that is an ``And`` of equalities."""
    return [each["Fn::Equals"] for each in condition["Fn::And"]]


def _text(resource: Any) -> str:
    return resource if isinstance(resource, str) else str(resource.get("Fn::Sub", ""))


@pytest.mark.parametrize("has_event_bus", [False, True])
def test_the_dashboard_shows_every_function_every_queue_and_every_dead_letter(*, has_event_bus: bool) -> None:
    widgets = json.loads(_dashboard(has_event_bus=has_event_bus))["widgets"]
    found = {each["properties"]["title"]: each["properties"]["metrics"] for each in widgets}

    optional = {name for name, resource in RESOURCES.items() if resource.get("Condition") == "HasEventBus"}
    absent = set[str]() if has_event_bus else optional
    shown = {title: {word for metric in metrics for word in metric if isinstance(word, str)} for title, metrics in found.items()}
    failing, consumers = shown["Internal failures"], {source.function for source in SOURCES} - absent
    assert {name for name in failing if name.endswith("Function")} == {*FUNCTIONS} - absent
    assert {name for name in failing if name.endswith(".QueueName")} == _queue_names({*REDRIVES.values()} - absent)
    assert {name for name in shown["Waiting"] if name.endswith(".QueueName")} == _queue_names({*REDRIVES} - absent)
    assert {FUNCTIONS[name]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] for name in consumers} <= failing


def _queue_names(queues: set[str]) -> set[str]:
    return {f"{queue}.QueueName" for queue in queues}


def test_the_coverage_of_every_function_is_measured() -> None:
    paths = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["paths"]

    for name, properties in FUNCTIONS.items():
        directory = properties["CodeUri"]
        assert paths[directory.removeprefix("functions/")] == [directory, f"*/ministack-lambda-*-{name}-*/code"]
