import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from backchannel.errors import CallerError, EventTimeInvalidError, IdentifierInvalidError, MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SubjectSessionsEnded
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven
from backchannel.webhooks.zitadel import parse
from tests.unit.fakes import EVENTS, sample

USER, SID, CLIENT, CREATOR = "300000000000083001", "300000000000005555", "300000000000000900", "300000000000000901"
AT = 1_788_249_600_123
CONTEXT = Context("https://idp.example.test", "claim", now=AT + 5_000)


def _user_ended(reason: Reason, sequence: int) -> Parsed:
    return Parsed((SubjectSessionsEnded(USER, AT, f"{USER}:{sequence}", reason=reason),))


SAMPLES: Mapping[str, Parsed] = {
    "oidc_session.added": Parsed((RpSessionStarted(USER, CLIENT, AT, SID),)),
    "oidc_session.added-machine": IGNORED,
    "oidc_session.refresh_token.revoked": IGNORED,
    "session.terminated": Parsed((SessionEnded(SID, AT, f"{SID}:7", reason=Reason.LOGOUT),)),
    "user.deactivated-inferred": _user_ended(Reason.USER_DISABLED, 36),
    "user.human.password.changed": _user_ended(Reason.CREDENTIAL_CHANGED, 34),
    "user.human.signed.out": Parsed((SessionEnded(SID, AT, f"{USER}:31", reason=Reason.LOGOUT),)),
    "user.human.signed.out-base64": Parsed((SessionEnded(SID, AT, f"{USER}:37", reason=Reason.LOGOUT),)),
    "user.locked-inferred": _user_ended(Reason.USER_DISABLED, 35),
    "user.removed": _user_ended(Reason.USER_DELETED, 33),
}


def _parse(document: Mapping[str, Any], context: Context = CONTEXT) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), context)


def test_every_sample_has_its_expectation() -> None:
    assert {path.name.removeprefix("zitadel-").removesuffix(".json") for path in EVENTS.glob("zitadel-*")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str) -> None:
    assert parse(Proven((EVENTS / f"zitadel-{name}.json").read_bytes()), CONTEXT) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_creator_of_an_event_is_never_the_user(name: str) -> None:
    assert CREATOR not in repr(_parse({**sample(f"zitadel-{name}.json"), "userID": CREATOR}))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_payload_means_the_same_in_base64(name: str) -> None:
    document = sample(f"zitadel-{name}.json")
    if isinstance(document.get("event_payload"), dict):
        document["event_payload"] = base64.b64encode(json.dumps(document["event_payload"]).encode()).decode()

    assert _parse(document) == SAMPLES[name]


def test_the_hash_of_a_new_password_is_not_kept() -> None:
    assert "synthetic" not in repr(_parse(sample("zitadel-user.human.password.changed.json")))


@pytest.mark.parametrize("missing", [{"clientID": ""}, {"clientID": None}, {"sessionID": ""}, {"sessionID": None}])
def test_a_token_without_client_or_session_is_a_machine_s(missing: Mapping[str, Any]) -> None:
    document = sample("zitadel-oidc_session.added.json")
    document["event_payload"] |= missing

    assert _parse(document) == IGNORED


def test_a_session_whose_id_is_not_trusted_ends_its_user_s_sessions_if_the_user_is_named() -> None:
    untrusting = replace(CONTEXT, sid_trust="none")

    assert _parse(sample("zitadel-session.terminated.json"), untrusting) == UNMAPPABLE
    expected = SubjectSessionsEnded(USER, AT, f"{USER}:31", reason=Reason.LOGOUT)
    assert _parse(sample("zitadel-user.human.signed.out.json"), untrusting).events == (expected,)


def test_who_signed_out_of_an_unknown_session_is_known_where_the_source_wants_that() -> None:
    (event,) = _parse(sample("zitadel-user.human.signed.out.json"), replace(CONTEXT, unmatched_sid="end_subject")).events

    assert isinstance(event, SessionEnded)
    assert event.unmatched_sub == USER


@pytest.mark.parametrize("payload", [None, {}, {"userAgentID": "agent"}, {"sessionID": None}, {"sessionID": ""}])
def test_a_logout_that_names_no_session_means_the_user_only_if_the_source_says_so(payload: object) -> None:
    document = {**sample("zitadel-user.human.signed.out.json"), "event_payload": payload}

    assert _parse(document) == UNMAPPABLE
    expected = SubjectSessionsEnded(USER, AT, f"{USER}:31", reason=Reason.LOGOUT)
    assert _parse(document, replace(CONTEXT, unmatched_sid="end_subject")).events == (expected,)


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("session.terminated", {"event_type": None}, MalformedRequestError),
        ("session.terminated", {"sequence": "7"}, MalformedRequestError),
        ("session.terminated", {"sequence": True}, MalformedRequestError),
        ("session.terminated", {"aggregateID": ""}, IdentifierInvalidError),
        ("session.terminated", {"created_at": "yesterday"}, MalformedRequestError),
        ("session.terminated", {"created_at": "2030-01-01T00:00:00Z"}, EventTimeInvalidError),
        ("user.human.signed.out", {"event_payload": {"sessionID": 7}}, IdentifierInvalidError),
        ("user.human.signed.out", {"event_payload": 7}, MalformedRequestError),
        ("user.human.signed.out", {"event_payload": "no base64!"}, MalformedRequestError),
        ("user.human.signed.out", {"event_payload": "é"}, MalformedRequestError),
        ("user.human.signed.out", {"event_payload": base64.b64encode(b"[]").decode()}, MalformedRequestError),
        ("oidc_session.added", {"event_payload": {"clientID": "a", "sessionID": "b"}}, IdentifierInvalidError),
        ("oidc_session.added", {"event_payload": {"clientID": [], "sessionID": "b", "userID": "c"}}, IdentifierInvalidError),
    ],
)
def test_an_event_that_does_not_say_what_happened_is_refused(
    name: str, change: Mapping[str, Any], error: type[CallerError]
) -> None:
    with pytest.raises(error):
        _parse({**sample(f"zitadel-{name}.json"), **change})
