import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.deliveries.messages import DeliveryMessage
from backchannel.errors import MessageNotUnderstood
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.messages import EndMessage

text = st.text(max_size=20)
maybe = st.none() | text
times = st.integers(0, 10**15)
reasons = st.none() | st.sampled_from(Reason)
ends: st.SearchStrategy[Ended] = st.builds(SessionEnded, text, times, text, maybe, reasons) | st.builds(
    SubjectSessionsEnded, text, times, text, maybe, reasons
)
end_messages = st.builds(
    EndMessage.of, ends, provider=text, logout_id=text, fanout_id=text, only_client_id=maybe, sweep=st.booleans()
)
delivery_messages = st.builds(DeliveryMessage, text, text, text, maybe)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(text, children, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(
    ["provider", "logout_id", "fanout_id", "ended_at", "source_event_id", "client_id", "sid", "sub", "sweep", "x"]
)


@given(end_messages)
def test_an_end_message_survives_its_queue(message: EndMessage) -> None:
    assert EndMessage.from_json(message.to_json()) == message


@given(delivery_messages)
def test_a_delivery_message_survives_its_queue(message: DeliveryMessage) -> None:
    assert DeliveryMessage.from_json(message.to_json()) == message


@given(ends)
def test_an_event_survives_its_message(event: Ended) -> None:
    message = EndMessage.of(event, provider="idp", logout_id="l1", fanout_id="f1")

    assert message.event == event


def test_a_message_holds_ids_and_times_only() -> None:
    message = EndMessage("idp", "l1", "f1", 1, "e1", sid="sid-1")

    assert json.loads(message.to_json()) == {
        "provider": "idp",
        "logout_id": "l1",
        "fanout_id": "f1",
        "ended_at": 1,
        "source_event_id": "e1",
        "sid": "sid-1",
        "sweep": False,
        "only_announces": False,
        "reopen": False,
    }


def test_a_message_is_compact() -> None:
    assert DeliveryMessage("idp", "l1", "wiki").to_json() == '{"provider":"idp","logout_id":"l1","client_id":"wiki"}'


@pytest.mark.parametrize("kind", [EndMessage, DeliveryMessage])
@given(body=st.text() | anything.map(json.dumps) | st.dictionaries(names, anything).map(json.dumps))
@example(body="")
@example(body="null")
@example(body="[" * 100_000)
@example(body="9" * 5000)
@example(body='{"provider": 1, "logout_id": "l", "client_id": "c"}')
def test_any_body_is_a_message_or_not_understood(kind: type[EndMessage | DeliveryMessage], body: str) -> None:
    try:
        message = kind.from_json(body)
    except MessageNotUnderstood:
        return

    assert kind.from_json(message.to_json()) == message


@pytest.mark.parametrize(
    "change",
    [
        {"provider": None},
        {"provider": 7},
        {"client_id": ["wiki"]},
        {"sid": 7},
        {"sid": {"a": 1}},
        {"token": "eyJ"},
        {"provider": "\ud800"},
        {"sid": "half of \udc00"},
    ],
)
def test_a_member_of_another_type_or_name_is_not_understood(change: dict[str, Any]) -> None:
    members = {"provider": "idp", "logout_id": "l1", "client_id": "wiki", "sid": "sid-1"}

    with pytest.raises(MessageNotUnderstood):
        DeliveryMessage.from_json(json.dumps(members | change))


@pytest.mark.parametrize("name", ["provider", "logout_id", "client_id"])
def test_a_missing_member_is_not_understood(name: str) -> None:
    members = {"provider": "idp", "logout_id": "l1", "client_id": "wiki"}
    del members[name]

    with pytest.raises(MessageNotUnderstood):
        DeliveryMessage.from_json(json.dumps(members))


def test_an_end_of_nothing_is_not_understood() -> None:
    message = EndMessage("idp", "l1", "f1", 1, "e1")

    with pytest.raises(MessageNotUnderstood):
        _ = message.event
