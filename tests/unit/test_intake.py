"""What an intake says that it has taken."""

from types import SimpleNamespace
from typing import cast

import pytest

from backchannel.providers.table import Provider
from backchannel.sessions.events import SessionEnded, SessionEvent, SubjectSessionsEnded
from backchannel.sessions.intake import Intake, Taken
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from tests.support.queues import FakeQueue

ACME = Provider("acme", "https://idp.example/", ())


def test_an_end_is_counted_once_however_many_tokens_are_passed_on_for_it() -> None:
    queue = FakeQueue()
    ends: list[SessionEvent] = [SessionEnded("sid", 1, "lt-1"), SubjectSessionsEnded("ada", 1, "lt-1", "chat")]

    taken = Intake(cast("Sessions", SimpleNamespace()), queue).take(ACME, ends, 2, passes_on=["wiki", "mail"])

    assert taken == Taken(started=0, ended=2)
    assert len(queue.sent) == 3


@pytest.mark.parametrize(
    ("asked", "is_listed"), [({"source": "app"}, True), ({"requested_by": "arn:aws:iam::1:user/ops"}, True), ({}, False)]
)
def test_an_end_says_who_asked_for_it_and_only_then_is_listed(asked: dict[str, str], *, is_listed: bool) -> None:
    queue = FakeQueue()

    Intake(cast("Sessions", SimpleNamespace()), queue).take(ACME, [SessionEnded("sid", 1, "e1")], 2, **asked)  # type: ignore[arg-type]

    (message,) = [EndMessage.from_json(each.body) for each in queue.sent]
    assert {"source": message.source, "requested_by": message.requested_by} == {"source": None, "requested_by": None} | asked
    assert message.is_listed == is_listed
