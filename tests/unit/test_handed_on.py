"""The events of a large batch, as they travel through SourceEventsQueue."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import MessageNotUnderstood
from backchannel.reasons import CAUSES, Reason
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SessionEvent, SubjectSessionsEnded
from backchannel.sessions.handed_on import MAX_EVENTS, MAX_OCTETS, HandedOn, messages
from tests.support.json_values import json_values

ISSUER = "https://idp.example"
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
maybe = st.none() | text
times = st.integers(0, 10**15)
reasons, causes = st.none() | st.sampled_from(Reason), st.none() | st.sampled_from(CAUSES)
session_events: st.SearchStrategy[SessionEvent] = st.one_of(
    st.builds(RpSessionStarted, text, text, times, maybe, maybe, st.none() | times, st.booleans()),
    st.builds(SessionEnded, text, times, text, maybe, reasons, maybe, causes),
    st.builds(SubjectSessionsEnded, text, times, text, maybe, reasons, causes),
)
END = SubjectSessionsEnded("ada", 1, "e-1")


def _sent(events: list[SessionEvent]) -> list[HandedOn]:
    return [HandedOn.read(json.loads(each.body)) for each in messages("acme", ISSUER, "app", events)]


@given(st.lists(session_events, max_size=5))
def test_events_survive_their_queue(events: list[SessionEvent]) -> None:
    assert [event for each in _sent(events) for event in each.events] == events
    assert {(each.provider, each.issuer, each.source) for each in _sent(events)} <= {("acme", ISSUER, "app")}


def test_no_message_has_more_events_than_are_stored_at_once() -> None:
    events: list[SessionEvent] = [replace(END, source_event_id=str(number)) for number in range(2 * MAX_EVENTS + 1)]

    sent = _sent(events)

    assert [len(each.events) for each in sent] == [MAX_EVENTS, MAX_EVENTS, 1]
    assert [event for each in sent for event in each.events] == events


def test_long_events_travel_in_more_messages() -> None:
    events: list[SessionEvent] = [
        replace(END, sub="\N{GRINNING FACE}" * 2048, source_event_id=str(number)) for number in range(9)
    ]

    sent = [each.body for each in messages("acme", ISSUER, "app", events)]

    assert len(sent) > 1
    assert all(len(each.encode()) <= MAX_OCTETS + 200 for each in sent)
    assert [event for each in sent for event in HandedOn.read(json.loads(each)).events] == events


def test_what_is_handed_on_is_its_providers_backlog() -> None:
    assert [each.tenant for each in messages("acme", ISSUER, "app", [END])] == [("acme",)]


KNOWN: dict[str, Any] = json.loads(next(messages("acme", ISSUER, "app", [END])).body)


@given(st.sampled_from(sorted(KNOWN)), json_values)
def test_whatever_a_member_is_the_message_is_read_or_not_understood(name: str, value: Any) -> None:
    try:
        read = HandedOn.read({**KNOWN, name: value})
    except MessageNotUnderstood:
        return
    assert isinstance(getattr(read, name), str | tuple)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "session_paused"},
        {"kind": ["session_ended"]},
        {"sub": 7},
        {"sub": None},
        {"ended_at": "1"},
        {"ended_at": True},
        {"reason": "a whim"},
        {"cause": "a whim"},
        {"started_at": 1},
        {"__class__": "x"},
    ],
)
def test_an_event_that_no_version_of_this_service_wrote_is_not_understood(change: dict[str, Any]) -> None:
    (event,) = KNOWN["events"]

    with pytest.raises(MessageNotUnderstood):
        HandedOn.read({**KNOWN, "events": [{**event, **change}]})
