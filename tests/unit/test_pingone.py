import json
from collections.abc import Mapping
from typing import Any

import pytest

from backchannel.errors import CallerError, IdentifierInvalidError, MalformedRequestError, SignatureInvalidError
from backchannel.reasons import Reason
from backchannel.sessions.events import SubjectSessionsEnded
from backchannel.webhooks.batches import read_batch
from backchannel.webhooks.pingone import FORMAT, entries, parse
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Refused, Request
from tests.unit.fakes import EVENTS, sample, trust

USER, ADMINISTRATOR = "8f3c0000-0000-4000-8000-0000000000b1", "ad310000-0000-4000-8000-0000000000b2"
AT = 1_788_249_600_400
CONTEXT = Context("https://auth.pingone.example/e9/as", "claim", now=AT + 5_000)
SECRET = "Bearer a-static-secret-of-32-characters"


def _ended(number: int, reason: Reason) -> Parsed:
    return Parsed((SubjectSessionsEnded(USER, AT, f"a9000000-0000-4000-8000-0000000000{number}", reason=reason),))


SAMPLES: Mapping[str, Parsed] = {
    "USER.DELETED": _ended(11, Reason.USER_DELETED),
    "PASSWORD.RESET": _ended(12, Reason.CREDENTIAL_CHANGED),
    "PASSWORD.SET": _ended(13, Reason.CREDENTIAL_CHANGED),
    "USER.ACCESS_ALLOWED": IGNORED,
    "USER.LOCKED-inferred": _ended(15, Reason.USER_DISABLED),
    "SESSION.DELETED-inferred": UNMAPPABLE,
}


def _parse(document: Mapping[str, Any]) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), CONTEXT)


def _read_all(body: bytes) -> Parsed:
    return read_batch(entries(Proven(body)), lambda each: parse(each, CONTEXT))


def test_every_sample_has_its_expectation() -> None:
    assert {path.name.removeprefix("pingone-").removesuffix(".json") for path in EVENTS.glob("pingone-*")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str) -> None:
    assert _parse(sample(f"pingone-{name}.json")) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_actor_is_never_the_user(name: str) -> None:
    assert ADMINISTRATOR not in repr(_parse(sample(f"pingone-{name}.json")))


@pytest.mark.parametrize("status", ["FAILURE", "FAILED", ""])
def test_what_failed_is_ignored(status: str) -> None:
    assert _parse({**sample("pingone-USER.DELETED.json"), "result": {"status": status}}) == IGNORED


@pytest.mark.parametrize(
    "resources", [[], [{"type": "GROUP", "id": "g"}], ["user"], [{"type": "USER", "id": "a"}, {"type": "USER", "id": "b"}]]
)
def test_an_end_that_does_not_name_one_user_is_unmappable(resources: list[Any]) -> None:
    assert _parse({**sample("pingone-USER.DELETED.json"), "resources": resources}) == UNMAPPABLE


def test_success_is_success_in_any_case_and_a_user_may_be_named_twice() -> None:
    event = sample("pingone-USER.DELETED.json")
    twice = [*event["resources"], *event["resources"]]

    assert _parse({**event, "result": {"status": "Success"}, "resources": twice}) == SAMPLES["USER.DELETED"]


def test_a_batch_is_read_in_its_order_and_a_bad_event_is_refused_alone() -> None:
    good, other = sample("pingone-USER.DELETED.json"), sample("pingone-USER.ACCESS_ALLOWED.json")

    read = _read_all(json.dumps([good, 7, other, sample("pingone-PASSWORD.SET.json")]).encode())

    assert read.events == SAMPLES["USER.DELETED"].events + SAMPLES["PASSWORD.SET"].events
    assert (read.ignored, read.refused) == (1, (Refused(1, "malformed_request"),))


@pytest.mark.parametrize("body", [b"", b"[", b"7", b"null", b"{}", b'{"id": 1, "id": 2}', b"\xff"])
def test_what_is_refused_is_no_error_since_it_would_come_again_for_days(body: bytes) -> None:
    assert _read_all(body) == Parsed(refused=(Refused(0, "malformed_request"),))


def test_a_single_event_is_a_batch_of_one_and_there_may_be_none() -> None:
    assert _read_all((EVENTS / "pingone-USER.DELETED.json").read_bytes()) == SAMPLES["USER.DELETED"]
    assert _read_all(b"[]") == Parsed()


@pytest.mark.parametrize("header", [None, "", "Bearer", f"{SECRET}x", SECRET.removeprefix("Bearer "), "é"])
def test_another_header_is_refused(header: str | None) -> None:
    with pytest.raises(SignatureInvalidError):
        FORMAT.verify(Request(b"[]", {} if header is None else {"authorization": header}), trust(SECRET), AT)


def test_the_header_proves_the_sender_also_while_it_is_replaced() -> None:
    assert FORMAT.verify(Request(b"[]", {"authorization": SECRET}), trust("Bearer the-next", SECRET), AT) == Proven(b"[]")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"action": None}, MalformedRequestError),
        ({"action": {}}, MalformedRequestError),
        ({"result": None}, MalformedRequestError),
        ({"resources": None}, MalformedRequestError),
        ({"resources": [{"type": "USER"}]}, IdentifierInvalidError),
        ({"id": None}, IdentifierInvalidError),
        ({"recordedAt": None}, MalformedRequestError),
    ],
)
def test_an_event_that_does_not_say_what_ended_is_refused(change: Mapping[str, Any], error: type[CallerError]) -> None:
    with pytest.raises(error):
        _parse({**sample("pingone-USER.DELETED.json"), **change})
