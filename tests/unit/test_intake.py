"""What an intake says that it has taken."""

from types import SimpleNamespace
from typing import cast

from backchannel.providers.table import Provider
from backchannel.sessions.events import SessionEnded, SessionEvent, SubjectSessionsEnded
from backchannel.sessions.intake import Intake, Taken
from backchannel.sessions.table import Sessions
from tests.support.queues import FakeQueue

ACME = Provider("acme", "https://idp.example/", ())


def test_an_end_is_counted_once_however_many_tokens_are_passed_on_for_it() -> None:
    queue = FakeQueue()
    ends: list[SessionEvent] = [SessionEnded("sid", 1, "lt-1"), SubjectSessionsEnded("ada", 1, "lt-1", "chat")]

    taken = Intake(cast("Sessions", SimpleNamespace()), queue).take(ACME, ends, 2, passes_on=["wiki", "mail"])

    assert taken == Taken(started=0, ended=2)
    assert len(queue.sent) == 3
