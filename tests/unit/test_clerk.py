import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from backchannel.errors import (
    CallerError,
    EventTimeInvalidError,
    IdentifierInvalidError,
    MalformedRequestError,
    SignatureInvalidError,
)
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded
from backchannel.webhooks.clerk import FORMAT, parse
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request
from tests.unit.fakes import EVENTS, sample, trust

USER, SID = "user_2AAAAAAAAAAAAAAAAAAAAAAAAAA", "sess_2AAAAAAAAAAAAAAAAAAAAAAAAAA"
AT = 1_788_249_600_123
CONTEXT = Context("https://clerk.example.test", "claim", now=AT + 5_000)

SAMPLES: Mapping[str, Parsed] = {
    "session.created": IGNORED,
    "session.ended": Parsed((SessionEnded(SID, AT, "msg-1", reason=Reason.LOGOUT),)),
    "session.removed-inferred": Parsed((SessionEnded(SID, AT, "msg-1", reason=Reason.LOGOUT),)),
    "session.revoked": Parsed((SessionEnded(SID, AT, "msg-1", reason=Reason.SESSION_REVOKED),)),
    "user.deleted": Parsed((SubjectSessionsEnded(USER, AT, "msg-1", reason=Reason.USER_DELETED),)),
}


def _parse(document: Mapping[str, Any], context: Context = CONTEXT) -> Parsed:
    return parse(Proven(json.dumps(document).encode(), "msg-1"), context)


def test_every_sample_has_its_expectation() -> None:
    assert {path.name.removeprefix("clerk-").removesuffix(".json") for path in EVENTS.glob("clerk-*")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str) -> None:
    assert _parse(sample(f"clerk-{name}.json")) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_browser_is_no_client(name: str) -> None:
    assert "client_2A" not in repr(_parse(sample(f"clerk-{name}.json")))


@pytest.mark.parametrize("name", ["session.ended", "session.removed-inferred", "session.revoked"])
def test_a_session_whose_id_is_not_trusted_ends_its_user_s_sessions(name: str) -> None:
    (event,) = _parse(sample(f"clerk-{name}.json"), replace(CONTEXT, sid_trust="none")).events

    assert isinstance(event, SubjectSessionsEnded)
    assert (event.sub, event.client_id) == (USER, None)


def test_such_a_session_of_nobody_is_unmappable() -> None:
    document = sample("clerk-session.ended.json")
    del document["data"]["user_id"]

    assert _parse(document, replace(CONTEXT, sid_trust="none")) == UNMAPPABLE


def test_an_event_has_the_id_under_which_svix_sends_it_again() -> None:
    vector = Request(
        b'{"test": 2432232314}',
        {
            "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "svix-timestamp": "1614265330",
            "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    )
    known = trust("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    assert FORMAT.verify(vector, known, 1_614_265_330_000) == Proven(vector.body, "msg_p5jXN8AQM9LWM0D4loKWxJek")
    with pytest.raises(SignatureInvalidError):
        FORMAT.verify(replace(vector, body=vector.body + b" "), known, 1_614_265_330_000)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": None}, MalformedRequestError),
        ({"timestamp": None}, MalformedRequestError),
        ({"timestamp": AT // 1000}, EventTimeInvalidError),
        ({"data": []}, MalformedRequestError),
        ({"data": {"user_id": USER}}, IdentifierInvalidError),
    ],
)
def test_an_event_that_does_not_say_what_ended_is_refused(change: Mapping[str, Any], error: type[CallerError]) -> None:
    with pytest.raises(error):
        _parse({**sample("clerk-session.ended.json"), **change})


def test_an_event_without_an_id_is_refused() -> None:
    with pytest.raises(MalformedRequestError):
        parse(Proven((EVENTS / "clerk-session.ended.json").read_bytes()), CONTEXT)
