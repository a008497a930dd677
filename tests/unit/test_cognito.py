"""Cognito: CloudTrail's events and the trigger's, and nothing over HTTP."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import (
    CallerError,
    EventTimeInvalidError,
    IdentifierInvalidError,
    IssuerMismatchError,
    MalformedRequestError,
    SignatureInvalidError,
)
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded
from backchannel.webhooks.cognito import FORMAT, parse
from backchannel.webhooks.policies import chosen
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request
from tests.support.json_values import json_values
from tests.unit.fakes import sample, trust

type Json = dict[str, Any]

ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
SUB, CLIENT = "c0600000-0000-4000-8000-00000000ada1", "1example23456789abcdefghij"
AT = 1_788_256_800_000
"""The samples' time: 2026-09-01T10:00:00Z."""

NOW = AT + 60_000


def _read(document: Json, issuer: str = ISSUER, now: int = NOW) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), Context(issuer, "claim", now))


def _call(name: str, **changed: Any) -> Json:
    document: Json = sample(f"cognito-eventbridge-{name}.json")
    return {**document, "detail": {**document["detail"], **changed}}


def _end(number: int, reason: Reason, **members: Any) -> SubjectSessionsEnded:
    return SubjectSessionsEnded(SUB, AT + 999, f"ee000000-0000-4000-8000-{number:012}", reason=reason, **members)


ENDS = {
    "AdminUserGlobalSignOut": _end(1, Reason.ADMIN_LOGOUT),
    "AdminDisableUser": _end(2, Reason.USER_DISABLED),
    "AdminDeleteUser": _end(3, Reason.USER_DELETED),
    "AdminSetUserPassword": _end(4, Reason.CREDENTIAL_CHANGED),
    "GlobalSignOut": _end(11, Reason.LOGOUT),
    "ChangePassword": _end(13, Reason.CREDENTIAL_CHANGED),
    "RevokeToken": _end(21, Reason.LOGOUT, client_id=CLIENT, cause="token_revoked"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_call_that_succeeded_ends_the_sessions_of_the_user_whom_it_names(name: str) -> None:
    assert _read(_call(name)) == Parsed((ENDS[name],))


@pytest.mark.parametrize(
    ("name", "reason"), [("AdminResetUserPassword", Reason.CREDENTIAL_CHANGED), ("DeleteUser", Reason.USER_DELETED)]
)
def test_calls_of_which_there_is_no_sample_end_sessions_too(name: str, reason: Reason) -> None:
    (event,) = _read(_call("GlobalSignOut", eventName=name)).events

    assert isinstance(event, SubjectSessionsEnded)
    assert event.reason == reason


def test_an_empty_error_code_is_success_and_any_other_is_failure() -> None:
    name = "AdminUserGlobalSignOut-empty-errorCode"
    issuer = ISSUER.replace("AbCdEfGhI", "ExAmPlE00")

    (event,) = _read(_call(name), issuer).events

    assert isinstance(event, SubjectSessionsEnded)
    assert event.sub == "8f3c0000-0000-4000-8000-000000000001"
    assert _read(_call(name, errorCode="UserNotFoundException"), issuer) == IGNORED


def test_a_revoked_token_ends_nothing_unless_the_source_says_so() -> None:
    revoked = _read(_call("RevokeToken"))

    assert chosen(revoked, FORMAT.ends_sessions).not_chosen == ("token_revoked",)
    assert chosen(revoked, {"token_revoked"}).events == revoked.events
    assert chosen(_read(_call("GlobalSignOut")), FORMAT.ends_sessions).events == (ENDS["GlobalSignOut"],)


@pytest.mark.parametrize(
    "document",
    [
        _call("AdminDisableUser", requestParameters={"userPoolId": "eu-central-1_Other"}),
        _call("AdminDisableUser", awsRegion="eu-west-1"),
        _call("Logout", additionalEventData={"userPoolId": "eu-central-1_Other"}),
        {**sample("cognito-lambda-PreTokenGeneration-v1.json"), "userPoolId": "eu-central-1_Other"},
        {**sample("cognito-lambda-PreTokenGeneration-v1.json"), "region": "eu-west-1"},
    ],
)
def test_what_another_pool_says_is_ignored(document: Json) -> None:
    assert _read(document) == IGNORED


@pytest.mark.parametrize("issuer", ["https://idp.example/", "https://cognito-idp.eu-central-1.amazonaws.com/", ISSUER + "/"])
def test_events_are_refused_where_the_issuer_is_that_of_no_pool(issuer: str) -> None:
    with pytest.raises(IssuerMismatchError):
        _read(_call("GlobalSignOut"), issuer)


def test_a_pool_in_china_has_its_own_domain() -> None:
    issuer = "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_AbCdEfGhI"

    assert len(_read(_call("GlobalSignOut", awsRegion="cn-north-1"), issuer).events) == 1


@pytest.mark.parametrize(
    "document",
    [
        _call("Logout"),
        _call("AdminDisableUser", additionalEventData=None),
        _call("AdminDisableUser", additionalEventData={}),
        _call("RevokeToken", requestParameters=None),
    ],
)
def test_an_end_that_names_nobody_is_counted_apart(document: Json) -> None:
    assert _read(document) == UNMAPPABLE


@pytest.mark.parametrize(
    "document",
    [
        _call("Token_POST"),
        _call("AdminDisableUser", eventName="AdminEnableUser"),
        _call("AdminDisableUser", eventSource="iam.amazonaws.com"),
        {**_call("AdminDisableUser"), "detail-type": "AWS Service Event via CloudTrail"},
        sample("cognito-lambda-PostAuthentication.json"),
        sample("cognito-lambda-PreTokenGeneration-refresh.json"),
    ],
)
def test_what_neither_starts_nor_ends_a_session_is_ignored(document: Json) -> None:
    assert _read(document) == IGNORED


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_sign_in_is_a_start_without_a_sid_at_the_time_of_its_receipt(version: str) -> None:
    document = sample(f"cognito-lambda-PreTokenGeneration-{version}.json")

    assert _read({**document, "receivedAt": AT}) == Parsed((RpSessionStarted(SUB, CLIENT, AT),))
    assert _read(document) == Parsed((RpSessionStarted(SUB, CLIENT, NOW),)), "a preview's time is now"


@pytest.mark.parametrize(
    ("time", "ended_at"),
    [
        ("2026-09-01T10:00:00+00:00", AT + 999),
        ("2026-09-01T12:00:00+02:00", AT + 999),
        ("2026-09-01T10:00:00.250Z", AT + 250),
        ("2026-09-01T10:00:00.250123456Z", AT + 250),
    ],
)
def test_the_time_of_a_call_may_be_written_in_any_precision(time: str, ended_at: int) -> None:
    (event,) = _read(_call("GlobalSignOut", eventTime=time)).events

    assert isinstance(event, SubjectSessionsEnded)
    assert event.ended_at == ended_at


def test_an_end_is_never_later_than_its_receipt() -> None:
    (event,) = _read(_call("GlobalSignOut"), now=AT + 20).events

    assert isinstance(event, SubjectSessionsEnded)
    assert event.ended_at == AT + 20


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (_call("GlobalSignOut", eventTime="2026-09-01T11:00:00Z"), EventTimeInvalidError),
        (_call("GlobalSignOut", eventTime="2026-02-30T11:00:00Z"), MalformedRequestError),
        (_call("GlobalSignOut", eventTime="2026-09-01 10:00"), MalformedRequestError),
        (_call("GlobalSignOut", eventID=None), IdentifierInvalidError),
        (_call("GlobalSignOut", additionalEventData={"sub": 7}), IdentifierInvalidError),
        (_call("RevokeToken", requestParameters={"clientId": ""}), IdentifierInvalidError),
        ({"detail-type": "AWS API Call via CloudTrail"}, MalformedRequestError),
        ({"triggerSource": "TokenGeneration_HostedAuth"}, MalformedRequestError),
        ({}, MalformedRequestError),
    ],
)
def test_what_does_not_say_who_or_when_is_refused(document: Json, error: type[CallerError]) -> None:
    with pytest.raises(error):
        _read(document)


@given(st.sampled_from([_call("GlobalSignOut")["detail"], _call("RevokeToken")["detail"]]), st.data())
def test_whatever_a_member_is_the_event_is_read_or_refused(detail: Json, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(detail)))
    document = {"detail-type": "AWS API Call via CloudTrail", "detail": {**detail, name: data.draw(json_values)}}

    try:
        parsed = _read(document)
    except CallerError:
        return
    assert parsed == IGNORED or parsed == UNMAPPABLE or len(parsed.events) == 1  # noqa: PLR1714


def test_nobody_can_prove_himself_over_http() -> None:
    assert FORMAT.by_iam
    with pytest.raises(SignatureInvalidError):
        FORMAT.verify(Request(json.dumps(_call("GlobalSignOut")).encode(), {"authorization": "Bearer x"}), trust("x"), NOW)
