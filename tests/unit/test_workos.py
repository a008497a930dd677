import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from backchannel.errors import CallerError, IdentifierInvalidError, MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven
from backchannel.webhooks.workos import parse
from tests.unit.fakes import EVENTS, sample

USER, SID = "user_01EXAMPLE00000000000008F3C", "session_01EXAMPLE000000000005E55"
FIRST, SECOND = "event_01EXAMPLE00000000000000001", "event_01EXAMPLE00000000000000002"
AT = 1_788_249_600_000
CONTEXT = Context("https://api.workos.example", "claim", now=AT + 5_000)

SAMPLES: Mapping[str, Parsed] = {
    "session.revoked": Parsed((SessionEnded(SID, AT, FIRST, reason=Reason.SESSION_REVOKED),)),
    "user.deleted-inferred": Parsed((SubjectSessionsEnded(USER, AT, SECOND, reason=Reason.USER_DELETED),)),
}


def _parse(document: Mapping[str, Any], context: Context = CONTEXT) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), context)


def test_every_sample_has_its_expectation() -> None:
    assert {path.name.removeprefix("workos-").removesuffix(".json") for path in EVENTS.glob("workos-*")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str) -> None:
    assert parse(Proven((EVENTS / f"workos-{name}.json").read_bytes()), CONTEXT) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_environment_is_no_client(name: str) -> None:
    document = sample(f"workos-{name}.json")

    assert document["context"]["client_id"] not in repr(_parse(document))


def test_a_session_whose_id_is_not_trusted_ends_its_user_s_sessions() -> None:
    (event,) = _parse(sample("workos-session.revoked.json"), replace(CONTEXT, sid_trust="none")).events

    assert event == SubjectSessionsEnded(USER, AT, FIRST, reason=Reason.SESSION_REVOKED)


def test_such_a_session_of_nobody_is_unmappable() -> None:
    document = sample("workos-session.revoked.json")
    document["data"]["user_id"] = None

    assert _parse(document, replace(CONTEXT, sid_trust="none")) == UNMAPPABLE


@pytest.mark.parametrize("kind", ["session.created", "user.updated", "authentication.password_succeeded", ""])
def test_other_types_are_ignored(kind: str) -> None:
    assert _parse({"event": kind}) == IGNORED


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"event": 7}, MalformedRequestError),
        ({"id": None}, IdentifierInvalidError),
        ({"data": None}, MalformedRequestError),
        ({"data": {"user_id": USER}}, IdentifierInvalidError),
        ({"created_at": 1_788_249_600_000}, MalformedRequestError),
    ],
)
def test_an_event_that_does_not_say_what_ended_is_refused(change: Mapping[str, Any], error: type[CallerError]) -> None:
    with pytest.raises(error):
        _parse({**sample("workos-session.revoked.json"), **change})
