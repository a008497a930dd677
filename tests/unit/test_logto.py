import json
from collections.abc import Mapping
from typing import Any

import pytest

from backchannel.errors import CallerError, IdentifierInvalidError, MalformedRequestError, SignatureInvalidError
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded
from backchannel.webhooks.logto import FORMAT, parse
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request
from tests.unit.fakes import EVENTS, sample, trust

USER, CLIENT = "8f3clogtouser", "wiki0000000000000000w"
AT = 1_788_249_600_000
CONTEXT = Context("https://logto.example.test/oidc", "claim", now=AT + 5_000)
SIGNATURE = "45801195a9ad14d345f4c21078ca86dc15b9cbcfb9fa8522fa8d5d0405ac39cf"


def _ended(kind: str, reason: Reason) -> Parsed:
    return Parsed((SubjectSessionsEnded(USER, AT, f"{kind}:2026-09-01T08:00:00.000Z:{USER}", reason=reason),))


SAMPLES: Mapping[str, Parsed] = {
    "PostSignIn": Parsed((RpSessionStarted(USER, CLIENT, AT),)),
    "PostRegister-inferred": Parsed((RpSessionStarted(USER, CLIENT, AT),)),
    "PostResetPassword-inferred": _ended("PostResetPassword", Reason.CREDENTIAL_CHANGED),
    "User.SuspensionStatus.Updated-inferred": _ended("User.SuspensionStatus.Updated", Reason.USER_DISABLED),
    "User.SuspensionStatus.Updated-active-inferred": IGNORED,
    "User.Deleted-inferred": _ended("User.Deleted", Reason.USER_DELETED),
}


def _parse(document: Mapping[str, Any]) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), CONTEXT)


def test_every_sample_has_its_expectation() -> None:
    assert {path.name.removeprefix("logto-").removesuffix(".json") for path in EVENTS.glob("logto-*")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str) -> None:
    assert _parse(sample(f"logto-{name}.json")) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_id_of_an_interaction_and_personal_data_are_not_kept(name: str) -> None:
    parsed = repr(_parse(sample(f"logto-{name}.json")))

    assert "interaction" not in parsed
    assert "example.com" not in parsed


def test_the_same_event_of_two_webhooks_has_one_id() -> None:
    document = sample("logto-PostResetPassword-inferred.json")

    assert _parse(document) == _parse({**document, "hookId": "hook00000000000000002"})
    assert _parse(document) != _parse({**document, "createdAt": "2026-09-01T08:00:00.001Z"})
    assert _parse(document) != _parse({**document, "userId": "another"})


def test_a_sign_in_without_an_application_starts_nothing() -> None:
    assert _parse({**sample("logto-PostSignIn.json"), "application": None}) == IGNORED


def test_a_deleted_user_is_named_by_data_or_else_by_the_path() -> None:
    document = sample("logto-User.Deleted-inferred.json")

    assert _parse({**document, "data": {"id": USER}, "params": None}) == SAMPLES["User.Deleted-inferred"]
    assert _parse({**document, "params": {}}) == UNMAPPABLE


def test_the_vector_of_another_implementation_verifies_and_an_altered_one_does_not() -> None:
    body = (EVENTS / "logto-PostSignIn.json").read_bytes()
    headers = {"logto-signature-sha-256": SIGNATURE}

    assert FORMAT.verify(Request(body, headers), trust("old", "logto-example"), AT) == Proven(body)
    for request in (Request(body + b" ", headers), Request(body, {}), Request(body, {"logto-signature-sha-256": SIGNATURE[:-1]})):
        with pytest.raises(SignatureInvalidError):
            FORMAT.verify(request, trust("logto-example"), AT)


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("PostSignIn", {"event": None}, MalformedRequestError),
        ("PostSignIn", {"application": "wiki"}, MalformedRequestError),
        ("PostSignIn", {"application": {"name": "Wiki"}}, IdentifierInvalidError),
        ("PostSignIn", {"userId": None}, IdentifierInvalidError),
        ("PostSignIn", {"createdAt": 7}, MalformedRequestError),
        ("User.SuspensionStatus.Updated-inferred", {"data": None}, MalformedRequestError),
        ("User.SuspensionStatus.Updated-inferred", {"data": {"id": USER}}, MalformedRequestError),
        ("User.SuspensionStatus.Updated-inferred", {"data": {"isSuspended": True}}, IdentifierInvalidError),
        ("User.Deleted-inferred", {"params": {"userId": 7}}, IdentifierInvalidError),
    ],
)
def test_an_event_that_does_not_say_what_happened_is_refused(
    name: str, change: Mapping[str, Any], error: type[CallerError]
) -> None:
    with pytest.raises(error):
        _parse({**sample(f"logto-{name}.json"), **change})
