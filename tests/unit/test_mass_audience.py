"""How many tokens a logout becomes is what its fan-out and its deliveries will decide."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from backchannel.errors import NotFoundError
from backchannel.logouts.mass.audience import MOST_CLIENTS, Audience, untold
from backchannel.logouts.mass.records import Entry
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider, Recipients
from backchannel.reasons import Reason
from tests.support.signing import ring

WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/")
NEEDS_SID = replace(WIKI, client_id="mail", backchannel_logout_session_required=True)
SUB_ONLY = replace(WIKI, client_id="chat", subject="sub_only")
SILENT = replace(WIKI, client_id="silent", backchannel_logout_uri=None)
PASSED_ON = replace(WIKI, client_id="passed", own_tokens=False)
UNWILLING = replace(WIKI, client_id="unwilling", logout_reasons=(Reason.LOGOUT,))
ALL = [WIKI, NEEDS_SID, SUB_ONLY, SILENT, PASSED_ON, UNWILLING]


class Registered:
    """Providers with these clients."""

    def __init__(self, clients: list[Client]) -> None:
        self.known = clients
        self.read = 0

    def all_clients(self, _: str) -> Iterator[Client]:
        for each in self.known:
            self.read += 1
            yield each

    def get_client(self, _: str, client_id: str) -> Client:
        for each in self.known:
            if each.client_id == client_id:
                return each
        raise NotFoundError.of("client", client_id)


def audience(clients: list[Client], *, recipients: Recipients = "sessions", client_id: str | None = None) -> Audience:
    provider = Provider("acme", "https://idp.example", ring(), recipients=recipients)
    return Audience.of(cast("Any", Registered(clients)), provider, client_id, Reason.COMPROMISED)


def test_a_subject_is_a_token_by_sub_or_one_for_each_sid_of_a_client_that_needs_it() -> None:
    entry = Entry("ada", None, dict.fromkeys(["wiki", "mail", "chat", "silent", "passed", "unwilling", "gone"], 3), 21)

    assert audience(ALL).tokens(entry) == {"wiki": 1, "mail": 3, "chat": 1}


def test_a_client_that_needs_a_sid_and_has_none_is_sent_nothing() -> None:
    assert audience(ALL).tokens(Entry("ada", None, {"mail": 0, "wiki": 0}, 2)) == {"wiki": 1}


def test_a_session_of_nobody_is_one_token_unless_its_client_takes_sub_alone() -> None:
    told = [audience(ALL).tokens(Entry(None, "s1", {each: 1}, 1)) for each in ("wiki", "mail", "chat", "silent")]

    assert told == [{"wiki": 1}, {"mail": 1}, {}, {}]


def test_all_clients_are_told_of_a_subject_where_recipients_are_all() -> None:
    everybody = audience(ALL, recipients="all_clients")

    assert everybody.tokens(Entry("ada")) == {"wiki": 1, "chat": 1}
    assert everybody.tokens(Entry("ada", None, {"mail": 2}, 2)) == {"wiki": 1, "chat": 1, "mail": 2}
    assert everybody.tokens(Entry(None, "s1", {"wiki": 1}, 1)) == {"wiki": 1}


def test_at_one_client_no_other_is_told() -> None:
    assert audience(ALL, recipients="all_clients", client_id="chat").tokens(Entry("ada")) == {"chat": 1}
    assert audience(ALL, recipients="all_clients", client_id="gone").tokens(Entry("ada")) == {}


def test_the_list_of_clients_is_read_to_a_bound_and_any_other_counts_as_told_by_sub() -> None:
    registered = Registered([replace(WIKI, client_id=f"client-{number}") for number in range(MOST_CLIENTS + 500)])
    provider = Provider("acme", "https://idp.example", ring())

    found = Audience.of(cast("Any", registered), provider, None, Reason.COMPROMISED)

    assert registered.read == MOST_CLIENTS + 1
    assert found.tokens(Entry("ada", None, {"client-1400": 2}, 2)) == {"client-1400": 1}


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (WIKI, None),
        (SILENT, "no_backchannel_logout_uri"),
        (UNWILLING, "suppressed"),
        (PASSED_ON, "provider_tokens_only"),
    ],
)
def test_why_a_client_is_sent_no_token(client: Client, why: str | None) -> None:
    assert untold(client, Reason.COMPROMISED) == why


@pytest.mark.parametrize(
    ("paused", "resumed_at", "waits"), [(True, None, True), (False, 11, True), (False, 9, False), (False, None, False)]
)
def test_deliveries_wait_for_a_client_that_is_paused_or_was_lately(paused: bool, resumed_at: int | None, waits: bool) -> None:  # noqa: FBT001 - a row
    assert audience([replace(WIKI, paused=paused, resumed_at=resumed_at)]).waits("wiki", 10) == waits
