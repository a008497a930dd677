"""Events out: nothing of them is there without an event bus, and with one they may do no more than they need."""

from collections.abc import Iterator
from typing import Any

import pytest

from backchannel.aws.event_bus import MOST
from backchannel.aws.sqs import BACKOFF_MAX, JITTER
from tests.template.cloudformation import as_list, load

TEMPLATE = load()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
ON = "HasEventBus"
BUS = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBusName}"
IF_ON = {name for name, resource in RESOURCES.items() if resource.get("Condition") == ON}
PRODUCERS = {
    "SessionEnded": {("dynamodb:Query", "DeliveriesTable"), ("sqs:SendMessage*", "EventsOutQueue")},
    "Delivery": {("dynamodb:Query", "DeliveriesTable"), ("sqs:SendMessage*", "EventsOutQueue")},
    "KeyRotation": {("sqs:SendMessage*", "EventsOutQueue")},
    "MassLogout": {("sqs:SendMessage*", "EventsOutQueue")},
}
"""Who tells what happened, and what it may do for that alone."""


def _named(value: Any, *, is_on: bool) -> Iterator[str]:
    """Yield the resources that a value names when there is an event bus, or when there is none."""
    match value:
        case {"Fn::If": [condition, then, otherwise]} if condition == ON:
            yield from _named(then if is_on else otherwise, is_on=is_on)
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case dict():
            for each in value.values():
                yield from _named(each, is_on=is_on)
        case list():
            for each in value:
                yield from _named(each, is_on=is_on)


def _statements(role: str) -> list[Any]:
    (policy,) = RESOURCES[role]["Properties"]["Policies"]
    statements: list[Any] = policy["PolicyDocument"]["Statement"]
    return statements


def _granted(statement: dict[str, Any]) -> set[tuple[str, str]]:
    return {(action, each["Fn::GetAtt"][0]) for action in as_list(statement["Action"]) for each in as_list(statement["Resource"])}


def test_there_is_no_event_bus_unless_a_parameter_names_one() -> None:
    assert TEMPLATE["Parameters"]["EventBusName"]["Default"] == ""
    assert TEMPLATE["Conditions"][ON] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "EventBusName"}, ""]}]}


def test_all_of_events_out_is_there_on_that_condition_alone() -> None:
    kinds = ("DeadLetter", "Age", "Postponed", "Errors", "Throttles", "InFlight")

    assert {name for name in RESOURCES if name.startswith("EventsOut")} == IF_ON
    assert {
        "EventsOutQueue",
        "EventsOutDeadLetterQueue",
        "EventsOutFunction",
        "EventsOutRole",
        "EventsOutLogGroup",
        *(f"EventsOut{kind}Alarm" for kind in kinds),
    } == IF_ON
    assert {name for name, output in TEMPLATE["Outputs"].items() if output.get("Condition") == ON} == {
        "EventsOutQueueUrl",
        "EventsOutDeadLetterQueueUrl",
    }


@pytest.mark.parametrize("name", sorted({*RESOURCES} - IF_ON))
def test_without_an_event_bus_nothing_names_what_is_not_there(name: str) -> None:
    assert not IF_ON & {*_named(RESOURCES[name], is_on=False)}


def test_those_who_tell_what_happened_do_so_only_with_an_event_bus() -> None:
    naming = {name for name in {*RESOURCES} - IF_ON if "EventsOutQueue" in _named(RESOURCES[name], is_on=True)}

    assert naming == {f"{name}{kind}" for name in PRODUCERS for kind in ("Function", "Role")}
    for name in PRODUCERS:
        variables = RESOURCES[f"{name}Function"]["Properties"]["Environment"]["Variables"]
        assert variables["EVENTS_OUT_QUEUE_URL"] == {"Fn::If": [ON, {"Ref": "EventsOutQueue"}, ""]}


@pytest.mark.parametrize(("name", "granted"), PRODUCERS.items())
def test_those_who_tell_what_happened_may_do_so_and_look_at_logouts(name: str, granted: set[tuple[str, str]]) -> None:
    added = [each["Fn::If"] for each in _statements(f"{name}Role") if "Fn::If" in each and each["Fn::If"][0] == ON]

    assert {pair for _, statement, _ in added for pair in _granted(statement)} == granted
    assert all(otherwise == {"Ref": "AWS::NoValue"} for _, _, otherwise in added)


def test_events_out_may_put_events_on_its_bus_and_nothing_else() -> None:
    on_bus, *others = sorted(_statements("EventsOutRole"), key=lambda each: "events:PutEvents" not in each["Action"])
    bus, local = on_bus["Resource"]

    assert on_bus["Action"] == ["events:DescribeEventBus", "events:PutEvents"]
    assert bus == {"Fn::Sub": BUS}
    assert (local["Fn::If"][0], local["Fn::If"][2]) == ("IsLocal", {"Ref": "AWS::NoValue"})
    assert set().union(*map(_granted, others)) == {
        *(("logs:" + action, "EventsOutLogGroup") for action in ("CreateLogStream", "PutLogEvents")),
        *(("sqs:" + action, "EventsOutQueue") for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")),
        ("sqs:ChangeMessageVisibility", "EventsOutQueue"),
        ("sqs:SendMessage*", "EventsOutDeadLetterQueue"),
    }


def test_a_batch_is_one_call_to_the_bus() -> None:
    (source,) = RESOURCES["EventsOutFunction"]["Properties"]["Events"].values()

    assert source["Properties"]["BatchSize"] == MOST


def test_an_event_becomes_a_dead_letter_after_days_but_before_sqs_forgets_it() -> None:
    queue = RESOURCES["EventsOutQueue"]["Properties"]
    receives = queue["RedrivePolicy"]["maxReceiveCount"]
    longest = receives * (BACKOFF_MAX / 1000) * (1 + JITTER)

    assert (receives - 10) * (BACKOFF_MAX / 1000) * (1 - JITTER) > 86_400
    assert longest < queue["MessageRetentionPeriod"]
