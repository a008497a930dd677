"""Batches of generic events: a bad one does not keep the others out, and is reported without a word of what it holds."""

import json
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.api.webhooks import Received, WebhookReceiver, session_events
from backchannel.aws.secrets import Secrets
from backchannel.errors import MalformedRequestError, PayloadTooLargeError, QueueUnavailable, SignatureInvalidError
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded
from backchannel.sessions.intake import Intake
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from backchannel.webhooks import signed_jwt
from backchannel.webhooks.batches import MAX_EVENTS
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Parsed, Proven, Refused, Request, Trust
from tests.support.queues import FakeQueue
from tests.support.uncounted import UNCOUNTED
from tests.unit.conftest import Log
from tests.unit.fakes import ISSUER, sample

AT = 1_788_249_600_123
WHEN = "2026-09-01T08:00:00.000Z"
STATIC = "a-static-secret-of-32-characters"
PROVIDER = Provider("acme", ISSUER, ())
GENERIC = ["standard-webhooks", "bearer", "signed-jwt"]

type Json = dict[str, Any]


def _event(number: int, kind: str = "user.sessions_ended", **changed: Any) -> Json:
    data = {"sub": f"ada-{number}", "sid": f"sid-{number}", "client_id": "wiki"}
    return {"type": kind, "id": f"event-{number}", "timestamp": WHEN, "data": data, **changed}


def _read(events: object, source_format: str = "bearer", **members: Any) -> Parsed:
    source = Source("s", source_format, "secret")
    event_id = "msg-1" if FORMATS[source_format].event_id_is_beside else None
    body = json.dumps({"events": events, **members}).encode()
    return session_events(Proven(body, event_id), PROVIDER, source, cast("Any", None), AT)


BAD: list[tuple[object, str]] = [
    (None, "malformed_request"),
    ("text", "malformed_request"),
    ([], "malformed_request"),
    ({}, "malformed_request"),
    ({"events": [_event(1)]}, "malformed_request"),  # no batch within a batch
    (_event(1, timestamp="yesterday"), "malformed_request"),
    (_event(1, timestamp="2026-09-01T09:00:00.000Z"), "event_time_invalid"),
    (_event(1, data={"sub": ""}), "identifier_invalid"),
    (_event(1, data={"sub": "\ud800"}), "identifier_invalid"),
    (_event(1, id=None), "identifier_invalid"),
    (_event(1, data={"sub": "ada", "iss": "https://other.example/"}), "issuer_mismatch"),
    (
        _event(1, "rp_session.started", data={"sub": "ada", "client_id": "wiki", "expires_at": "0001-01-01T00:00:00Z"}),
        "expiry_invalid",
    ),
]


def test_the_generic_formats_take_batches() -> None:
    assert all(FORMATS[name].entries is not None for name in GENERIC)


@pytest.mark.parametrize("source_format", GENERIC)
@pytest.mark.parametrize(("bad", "code"), BAD)
def test_a_bad_entry_is_refused_and_keeps_no_other_out(source_format: str, bad: object, code: str) -> None:
    parsed = _read([_event(0), bad, _event(2)], source_format)

    assert [each.source_event_id for each in parsed.events if not isinstance(each, RpSessionStarted)] == ["event-0", "event-2"]
    assert parsed.refused == (Refused(1, code),)


def test_the_age_limit_of_a_format_holds_for_each_entry() -> None:
    old = _event(0, timestamp="2026-09-01T06:59:59.000Z")

    assert _read([old, _event(1)]).refused == (Refused(0, "event_time_invalid"),)
    assert _read([old, _event(1)], "standard-webhooks").refused == ()


@pytest.mark.parametrize("source_format", GENERIC)
def test_each_entry_is_named_by_its_own_id_whatever_was_signed_beside_the_batch(source_format: str) -> None:
    parsed = _read([_event(0, data={"sub": "ada"}), _event(1, data={"sub": "ada"})], source_format)

    ends = [each for each in parsed.events if isinstance(each, SubjectSessionsEnded)]
    assert [(each.sub, each.source_event_id) for each in ends] == [("ada", "event-0"), ("ada", "event-1")]


@pytest.mark.parametrize("source_format", GENERIC)
def test_a_batch_has_at_most_a_thousand_events(source_format: str) -> None:
    events = [_event(number) for number in range(MAX_EVENTS + 1)]

    assert MAX_EVENTS == 1_000
    assert len(_read(events[:MAX_EVENTS], source_format).events) == MAX_EVENTS
    with pytest.raises(PayloadTooLargeError, match="more than 1000 events"):
        _read(events, source_format)


def test_an_empty_batch_causes_nothing() -> None:
    assert _read([]) == Parsed()


@pytest.mark.parametrize("events", [None, {}, "[]", 1, True])
def test_a_batch_that_is_no_list_is_malformed(events: object) -> None:
    with pytest.raises(MalformedRequestError, match="events"):
        _read(events)


def test_what_has_a_type_is_one_event_whatever_else_it_has() -> None:
    assert _read([_event(1)], type="invoice.paid") == Parsed(ignored=1)


outcomes = st.sampled_from(["started", "ended", "ignored", "refused"])


@given(st.lists(outcomes, max_size=12))
def test_every_entry_is_counted_once(wanted: list[str]) -> None:
    kinds = {"started": "rp_session.started", "ended": "session.ended", "ignored": "invoice.paid", "refused": "session.ended"}
    events = [_event(n, kinds[each], **({"id": 7} if each == "refused" else {})) for n, each in enumerate(wanted)]

    parsed = _read(events)

    starts = [each for each in parsed.events if isinstance(each, RpSessionStarted)]
    assert len(starts) == wanted.count("started")
    assert len(parsed.events) - len(starts) == wanted.count("ended")
    assert parsed.ignored == wanted.count("ignored")
    assert [each.index for each in parsed.refused] == [n for n, each in enumerate(wanted) if each == "refused"]


def test_unknown_reasons_of_a_batch_are_counted() -> None:
    events = [_event(number, data={"sub": "ada", "reason": reason}) for number, reason in enumerate(["logout", "why", "oops"])]

    assert _read(events).unknown_reasons == 2


# --- a signed batch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "is_taken"), [({"events": []}, True), ({"events": {}}, False), ({}, False), ({"type": 1}, False)]
)
def test_a_token_is_a_batch_only_with_a_list_of_events(claims: Json, *, is_taken: bool) -> None:
    own = {"iss": ISSUER, "aud": "hub", "exp": AT // 1000 + 60, "jti": "jti-1"}
    trust = Trust(list, lambda _: (None, {**own, **claims}), ISSUER, audience="hub")

    def verified() -> Proven:
        return signed_jwt.verify(Request(b"token", {}), trust, AT)

    if is_taken:
        assert FORMATS["signed-jwt"].entries is not None
        assert FORMATS["signed-jwt"].entries(verified()) == []
    else:
        with pytest.raises(SignatureInvalidError):
            verified()


# --- the answer -------------------------------------------------------------------------------------------------------


class FakeSessions(Sessions):
    """Remembers starts."""

    def __init__(self) -> None:
        self.started: list[RpSessionStarted] = []

    def start(self, _: str, started: RpSessionStarted, __: int) -> None:
        self.started.append(started)

    def start_many(self, _: str, starts: Any, __: int) -> list[Any]:
        self.started += starts
        return []


def _receive(events: list[object], sessions: FakeSessions, queue: FakeQueue) -> Received:
    receiver = WebhookReceiver(
        provider=lambda _: PROVIDER,
        source=lambda *_: Source("s", "bearer", "secret"),
        client=cast("Any", None),
        secrets=cast("Secrets", type("Fake", (), {"get": lambda *_: [STATIC]})()),
        intake=Intake(sessions, queue),
        sender_keys=cast("Any", None),
        counter=UNCOUNTED,
    )
    body = json.dumps({"events": events}).encode()
    return receiver.receive("acme", "s", Request(body, {"authorization": f"Bearer {STATIC}"}), AT)


@pytest.mark.usefixtures("no_metrics")
def test_a_partly_good_batch_is_a_success_that_says_what_was_refused() -> None:
    sessions, queue = FakeSessions(), FakeQueue()
    bad = _event(1, "rp_session.started", data={})

    received = _receive([_event(0, "rp_session.started"), bad, _event(2), 7, _event(4, "invoice.paid")], sessions, queue)

    refused = [{"index": 1, "code": "identifier_invalid"}, {"index": 3, "code": "malformed_request"}]
    assert received == Received(FORMATS["bearer"].success, {"started": 1, "ended": 1, "ignored": 1, "refused": refused})
    assert [each.sub for each in sessions.started] == ["ada-0"]
    assert [EndMessage.from_json(each.body).sub for each in queue.sent] == ["ada-2"]


@pytest.mark.usefixtures("no_metrics")
def test_where_nothing_was_refused_nothing_is_said_of_it() -> None:
    assert _receive([_event(0)], FakeSessions(), FakeQueue()).counts == {"started": 0, "ended": 1, "ignored": 0}


@pytest.mark.usefixtures("no_metrics")
def test_of_a_refused_entry_the_log_has_its_code_alone(log: Log) -> None:
    _receive([_event(0, data={"sub": "ada\n"}), _event(1, data={"sub": ""})], FakeSessions(), FakeQueue())

    assert "webhook.events_refused" in log.text
    assert re.search(r"identifier_invalid.{1,4}2", log.text)
    assert "ada" not in log.text


@pytest.mark.usefixtures("no_metrics")
def test_a_batch_that_cannot_be_queued_is_to_be_sent_again() -> None:
    with pytest.raises(QueueUnavailable):
        _receive([_event(0), _event(1)], FakeSessions(), FakeQueue(broken=True))


@pytest.mark.usefixtures("no_metrics")
def test_a_thousand_starts_are_all_stored() -> None:
    sessions = FakeSessions()

    _receive([_event(number, "rp_session.started") for number in range(1_000)], sessions, FakeQueue())

    assert sorted(each.sub for each in sessions.started) == sorted(f"ada-{number}" for number in range(1_000))


# --- entries that are no JSON that every reader reads alike -----------------------------------------------------------

DEEP = '{"a":' * 100 + "1" + "}" * 100
UNREADABLE = ['{"a": 1, "a": 2}', '[{"a": {"b": 1, "b": 2}}]', "NaN", "-Infinity", '{"a": 1e999}', "1" * 5000, DEEP]
ENVELOPES = {
    "bearer": ('{"events": [%s]}', json.dumps(_event(1))),
    "okta": ('{"data": {"events": [%s]}}', json.dumps(sample("okta-eventhook-user.session.clear.json")["data"]["events"][0])),
    "auth0": ("[%s]", json.dumps(sample("auth0-logstream-jsonobject.json"))),
    "pingone": ("[%s]", json.dumps(sample("pingone-USER.DELETED.json"))),
}


@pytest.mark.parametrize("unreadable", UNREADABLE, ids=lambda text: text[:20])
@pytest.mark.parametrize("name", ENVELOPES)
def test_an_entry_that_cannot_be_read_keeps_no_other_out(name: str, unreadable: str) -> None:
    envelope, good = ENVELOPES[name]
    body = (envelope % f"{unreadable},{good}").encode()

    parsed = session_events(
        Proven(body), PROVIDER, Source("s", name, "secret"), cast("Any", None), AT + 86_400_000 * (name != "bearer")
    )

    assert (len(parsed.events), parsed.refused) == (1, (Refused(0, "malformed_request"),))


@pytest.mark.parametrize("body", ['{"events": [], "events": []}', '{"a": NaN, "a": 1}', "[" * 100_000])
def test_an_envelope_that_cannot_be_read_is_malformed(body: str) -> None:
    with pytest.raises(MalformedRequestError):
        session_events(Proven(body.encode()), PROVIDER, Source("s", "bearer", "secret"), cast("Any", None), AT)
