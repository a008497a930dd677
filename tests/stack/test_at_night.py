"""docs/at-night.md: the request behind each command is taken, in one night's course. What the commands show is recorded."""

from pathlib import Path

import pytest

from local.client import Response
from tests.stack.conftest import MakeRelyingParty
from tests.support.provider import Provider
from tests.support.relying_party import Answer, RelyingParty
from tests.support.shown import Comparison
from tests.support.snippets import Exchange, exchanges, sections
from tests.support.unspeakable import new_id

PAGE = Path(__file__).resolve().parents[2] / "docs" / "at-night.md"
QUESTIONS = {heading: found for heading, text in sections(PAGE.read_text()).items() if (found := exchanges(text))}


class Night:
    """A provider whose user is logged out of three RPs, one of which refuses."""

    def __init__(self, provider: Provider, rps: dict[str, RelyingParty]) -> None:
        self.provider, self.rps = provider, rps
        sub, sid = new_id("a"), new_id("a")
        for client_id, rp in rps.items():
            provider.register_client(rp, client_id)
            provider.start(client_id, sub=sub, sid=sid)
        self.logout = provider.end_session(sid)
        provider.wait_until(self.logout, *("rejected" if client_id == "mail" else "accepted" for client_id in rps))
        self.shown = Comparison({"acme": provider.name, "user-1": sub, "1" * 40: self.logout})

    def ask(self, exchange: Exchange) -> Response:
        """Make a request of the page."""
        path, body = self.shown.here(exchange.path), self.shown.here(exchange.body).encode()
        if path.endswith("/redeliveries"):
            self.rps["mail"].answers = [Answer()]
        return self.provider.stack.request(exchange.method, path, body=body, signed=True)


@pytest.fixture
def night(provider: Provider, relying_party: MakeRelyingParty) -> Night:
    refusal = Answer(403, b"who are you?", {"Content-Type": "text/plain"})
    return Night(provider, {"chat": relying_party(), "mail": relying_party(refusal), "wiki": relying_party()})


def test_every_question_has_one_request() -> None:
    assert {len(found) for found in QUESTIONS.values()} == {1}


def test_each_request_of_the_night_is_taken(night: Night) -> None:
    answers = {heading: night.ask(exchange) for heading, (exchange,) in QUESTIONS.items()}

    assert {heading: answer.body for heading, answer in answers.items() if answer.status not in {200, 202}} == {}
    assert len(answers["Is the user logged out everywhere?"].body["sessions"]) == 3
    assert answers["Send it again, now"].body["queued"] == 1
