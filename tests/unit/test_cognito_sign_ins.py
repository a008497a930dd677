"""What is handed on of a user pool's trigger: the mapped fields of sign-ins."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given

from backchannel.sessions.events import MAX_IDENTIFIER, RpSessionStarted
from backchannel.webhooks import cognito, cognito_sign_ins
from backchannel.webhooks.cognito_sign_ins import MAX_TEXT, STARTS, NotUnderstoodError, message_of
from backchannel.webhooks.request import Context, Proven
from tests.support.json_values import json_values
from tests.unit.fakes import sample

AT = 1_788_256_800_123
V1 = sample("cognito-lambda-PreTokenGeneration-v1.json")


@pytest.mark.parametrize("trigger", sorted(STARTS))
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_sign_in_is_handed_on_as_its_parser_reads_it(version: str, trigger: str) -> None:
    event = {**sample(f"cognito-lambda-PreTokenGeneration-{version}.json"), "triggerSource": trigger}

    message = message_of(event, AT)

    assert message is not None
    claims = sample("cognito-idtoken-claims.json")
    assert message["issuer"] == claims["iss"]
    parsed = cognito.parse(Proven(json.dumps(message["event"]).encode()), Context(message["issuer"], "claim", AT + 5))
    assert parsed.events == (RpSessionStarted(claims["sub"], claims["aud"], AT),)


def test_nothing_but_what_is_mapped_is_handed_on() -> None:
    text = json.dumps(message_of(V1, AT))

    assert not [word for word in ("ada@example.test", '"ada"', "email", "groups", "awsSdkVersion") if word in text]


@pytest.mark.parametrize("name", ["cognito-lambda-PreTokenGeneration-refresh", "cognito-lambda-PostAuthentication"])
def test_what_is_no_sign_in_is_not_handed_on(name: str) -> None:
    assert message_of(sample(f"{name}.json"), AT) is None


@pytest.mark.parametrize(
    "change",
    [
        {"region": None},
        {"userPoolId": 7},
        {"callerContext": "x"},
        {"callerContext": {"clientId": ""}},
        {"request": {"userAttributes": None}},
        {"request": {"userAttributes": {"sub": "s" * (MAX_TEXT + 1)}}},
    ],
)
def test_a_sign_in_that_does_not_say_who_or_where_is_not_understood(change: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstoodError):
        message_of({**V1, **change}, AT)


def test_a_pool_in_china_has_its_own_domain() -> None:
    issuer = cognito_sign_ins.issuer("cn-north-1", "cn-north-1_AbCdEfGhI")

    assert issuer == "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_AbCdEfGhI"


@given(json_values)
def test_whatever_comes_stays_as_it_is(event: Any) -> None:
    before = copy.deepcopy(event)

    assert message_of(event, AT) is None
    assert event == before


def test_the_longest_text_is_that_of_an_identifier() -> None:
    assert MAX_TEXT == MAX_IDENTIFIER
