"""docs/at-night.md: each question's request is made, and its answer compared, in one night's course."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import Answer, RelyingParty
from tests.support.shown import Comparison
from tests.support.snippets import Exchange, exchanges, sections
from tests.support.unspeakable import new_id

PAGE = Path(__file__).resolve().parents[2] / "docs" / "at-night.md"
QUESTIONS = {heading: found for heading, text in sections(PAGE.read_text()).items() if (found := exchanges(text))}


class Night:
    """A provider whose user `ada` is logged out of three RPs, one of which refuses."""

    def __init__(self, provider: Provider, rps: dict[str, RelyingParty]) -> None:
        self.provider, self.rps = provider, rps
        ada, sid = new_id("a"), new_id("a")
        for client_id, rp in rps.items():
            provider.register_client(rp, client_id)
            provider.start(client_id, sub=ada, sid=sid)
        self.logout = provider.end_session(sid)
        provider.wait_until(self.logout, *("rejected" if client_id == "mail" else "accepted" for client_id in rps))
        provider.start("wiki", sub=(bob := new_id("b")), sid=(his := new_id("b")))
        until(lambda: provider.get("/sessions?client_id=wiki")["sessions"], holds=lambda found: len(found) == 2)
        until(lambda: provider.get("/counts")["clients"], holds=lambda found: sum(each["accepted"] for each in found) == 2)
        until(lambda: provider.get("/logouts")["logouts"], holds=bool)
        until(lambda: provider.get("/sources/app")["activity"]["counts"]["started"], holds=lambda found: found == 4)
        names = {
            "acme": provider.name,
            "https://idp.example": provider.issuer,
            "ada": ada,
            "s-ada": sid,
            "bob": bob,
            "s-bob": his,
        }
        uris = {f"https://{client_id}.example/backchannel-logout": rp.uri() for client_id, rp in rps.items()}
        self.shown = Comparison({**names, **uris, "LOGOUT": self.logout})

    def ask(self, exchange: Exchange) -> Any:
        """Make a request of the page."""
        path, body = self.shown.here(exchange.path), self.shown.here(exchange.body).encode()
        if path.endswith("/redeliveries"):
            self.rps["mail"].answers = [Answer()]
        response = self.provider.stack.request(exchange.method, path, body=body, signed=True)
        assert response.status in {200, 202}, response
        if "/sessions?" in path:
            response.body["sessions"].sort(key=lambda each: (each["sub"], each["client_id"]))  # they come in no order
        return response.body


@pytest.fixture
def night(provider: Provider, relying_party: MakeRelyingParty) -> Night:
    refusal = Answer(403, b"who are you?", {"Content-Type": "text/plain"})
    return Night(provider, {"chat": relying_party(), "mail": relying_party(refusal), "wiki": relying_party()})


def test_every_question_has_one_request_and_one_answer() -> None:
    assert {len(found) for found in QUESTIONS.values()} == {1}
    assert all(found[0].answer for found in QUESTIONS.values())


def test_each_answer_of_the_night_is_the_one_that_the_page_shows(night: Night) -> None:
    for heading, (exchange,) in QUESTIONS.items():
        shown = json.loads(exchange.answer or "")

        night.shown.compare(shown, night.ask(exchange), heading)
