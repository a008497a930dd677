"""docs/providers/without-events.md: its requests are made, and the clients are told."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.provider import LOOPBACK, Json, Provider
from tests.support.snippets import Exchange, exchanges, sections
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.senders

DOCUMENT = sections((Path(__file__).resolve().parents[2] / "docs" / "providers" / "without-events.md").read_text())
WITHOUT = exchanges(DOCUMENT["Without any start: tell all clients"])
WITH = exchanges(DOCUMENT["With starts: tell those where somebody is logged in"])


class Corp:
    """The document's provider, under names of this test."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.names = {"ada": new_id("sub"), "sid-0001": new_id("sid"), "pairwise-ada-at-wiki": new_id("sub")}

    def make(self, exchange: Exchange, **changed: object) -> Json:
        body = exchange.body.replace("https://login.example.com/corp", self.provider.issuer)
        for there, here in self.names.items():
            body = body.replace(f'"{there}"', f'"{here}"')
        path = exchange.path.replace("/providers/corp", self.provider.path)
        status, answer = self.provider.stack.admin(exchange.method, path, {**json.loads(body), **changed})
        assert status in {200, 201, 202}, (exchange, status, answer)
        found: Json = answer
        return found


@pytest.fixture
def corp(provider: Provider) -> Corp:
    return Corp(provider)


def test_without_any_start_one_call_tells_all_clients(corp: Corp, relying_party: MakeRelyingParty) -> None:
    wiki, mail = relying_party(), relying_party()
    configure, register, log_out = WITHOUT
    corp.make(configure)
    corp.make(register, backchannel_logout_uri=wiki.uri(), allowed_networks=LOOPBACK)
    corp.provider.register_client(mail)

    logout = corp.make(log_out)["logout_id"]

    corp.provider.wait_until(logout, "accepted", "accepted")
    assert {verified(corp.provider, *rp.tokens).claims["sub"] for rp in (wiki, mail)} == {corp.names["ada"]}


def test_with_a_start_the_client_is_told_by_the_names_that_it_knows(corp: Corp, relying_party: MakeRelyingParty) -> None:
    wiki, mail = relying_party(), relying_party()
    corp.make(WITHOUT[1], backchannel_logout_uri=wiki.uri(), allowed_networks=LOOPBACK)
    corp.provider.register_client(mail)
    start, log_out = WITH
    corp.make(start, started_at=datetime.now(UTC).isoformat())

    logout = corp.make(log_out)["logout_id"]

    corp.provider.wait_until(logout, "accepted")
    claims = verified(corp.provider, *wiki.tokens).claims
    assert (claims["sub"], claims["sid"]) == (corp.names["pairwise-ada-at-wiki"], corp.names["sid-0001"])
    assert not mail.tokens
