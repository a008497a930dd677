"""Lists of the operator's interface: providers, sources, deliveries by status and time, and who is signed in at a client."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from backchannel.sessions.items import SHARDS
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider, new_secret
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id


def pages(provider: Provider, path: str, member: str, limit: int = 1) -> list[list[Json]]:
    """Walk through a list below a provider."""
    return _pages(lambda after: provider.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{after}"), member)


def _pages(read: Any, member: str) -> list[list[Json]]:
    found: list[list[Json]] = []
    after = ""
    for _ in range(1000):
        page = read(after)
        found.append(page[member])
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"
    raise AssertionError("there is no end of it")


def flat(found: list[list[Json]], member: str) -> list[Any]:
    return [each[member] for page in found for each in page]


def refused(provider: Provider, path: str) -> str:
    response = provider.stack.request("GET", provider.path + path, signed=True)
    assert response.status == 400, response
    code: str = response.body["code"]
    return code


# --- Providers and sources --------------------------------------------------------------------------------------------


def test_providers_are_listed_by_name_without_those_that_were_removed(stack: Stack) -> None:
    ours = sorted((Provider(stack) for _ in range(4)), key=lambda each: each.name)
    for each in ours:
        each.put("", {"issuer": each.issuer, "session_lifetime": 600})
    stack.admin("DELETE", ours[1].path)

    listed = _pages(lambda after: stack.admin("GET", f"/providers?limit=50{after}")[1], "providers")

    shown = [each for page in listed for each in page if each["provider"] in {one.name for one in ours}]
    assert [each["provider"] for each in shown] == [ours[0].name, ours[2].name, ours[3].name]
    assert shown[0] == ours[0].get("")
    assert all(len(page) <= 50 for page in listed)


def test_sources_are_listed_by_name_without_their_secrets(provider: Provider) -> None:
    for name in ("c", "b"):
        provider.put_source(name, format="bearer", secret=new_secret())

    found = pages(provider, "/sources", "sources")

    assert flat(found, "source") == [SOURCE, "b", "c"]
    assert all(len(page) <= 1 for page in found)
    assert "secret" not in str(found)
    shown = provider.get("/sources/b")
    assert found[1][0] == {name: shown[name] for name in shown.keys() - {"activity"}}


# --- Deliveries -------------------------------------------------------------------------------------------------------


def test_deliveries_are_listed_by_several_statuses_and_a_time(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party(Answer(200), Answer(404), Answer(503), Answer(200))
    provider.register_client(rp, "a")
    logouts, times = [], []
    for status in ("accepted", "rejected", "retrying", "accepted"):
        times.append(datetime.now(UTC))
        sid = new_id("sid")
        provider.start("a", sub=new_id("sub"), sid=sid)
        logouts.append(provider.end_session(sid))
        provider.wait_until(logouts[-1], status)
        time.sleep(0.02)
    accepted, rejected, _, last = logouts
    end, middle = quote(datetime.now(UTC).isoformat()), quote(times[1].astimezone().isoformat())
    two = f"/deliveries?client_id=a&status=rejected&status=accepted&until={end}"

    for limit in (1, 2, 100):
        assert flat(pages(provider, two, "deliveries", limit), "logout_id") == [rejected, accepted, last]
    assert flat(pages(provider, f"{two}&since={middle}", "deliveries"), "logout_id") == [rejected, last]
    later = pages(provider, f"/deliveries?client_id=a&since={middle}", "deliveries", 2)
    assert sorted(flat(later, "logout_id")) == sorted(logouts[1:])
    assert flat(pages(provider, f"/deliveries?client_id=a&until={middle}", "deliveries"), "logout_id") == [accepted]


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-01-01T00:00:00",  # which zone?
        "since=1960-01-01T00:00:00Z",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "status=accepted&status=lost",
    ],
)
def test_a_time_or_a_status_that_cannot_be_meant_is_refused(shared_provider: Provider, query: str) -> None:
    assert refused(shared_provider, f"/deliveries?client_id=a&{query}") == "malformed_request"


def test_a_place_in_one_list_is_none_in_another(provider: Provider) -> None:
    provider.register_client("https://rp.example/", "a", paused=True)
    for _ in range(2):
        provider.post("/logouts", {"sub": (sub := new_id("sub"))})
        provider.start("a", sub=sub, sid=new_id("sid"))
        provider.end_subject(sub)
    listed = "/deliveries?client_id=a&status=queued&limit=1"
    until(lambda: provider.get(listed)["next"])
    after = provider.get(listed)["next"]

    for other in (
        "/deliveries?client_id=a&limit=1",
        "/deliveries?client_id=a&status=queued&status=accepted",
        "/deliveries?client_id=a&status=queued&since=2026-01-01T00:00:00Z",
        "/deliveries?client_id=b&status=queued",
        "/sessions?client_id=a",
        "/clients",
        "/sources",
    ):
        assert refused(provider, f"{other}{'&' if '?' in other else '?'}after={after}") == "malformed_request"


# --- Who is signed in at a client -------------------------------------------------------------------------------------


def test_who_is_signed_in_at_a_client_is_listed_page_by_page(provider: Provider) -> None:
    provider.register_client("https://rp.example/", "wiki")
    subs = sorted(new_id("sub") for _ in range(2 * SHARDS))
    for number, sub in enumerate(subs):
        provider.start("wiki", sub=sub, sid=None if number % 3 == 0 else f"{sub}-session")
    provider.start("mail", sub=subs[0], sid=new_id("sid"))

    until(lambda: len(provider.get("/sessions?client_id=wiki")["sessions"]) == len(subs))
    for limit in (1, 5, 100):
        found = pages(provider, "/sessions?client_id=wiki", "sessions", limit)
        assert sorted(flat(found, "sub")) == subs
        assert {each["client_id"] for page in found for each in page} == {"wiki"}
        assert all(len(page) <= limit for page in found)


@pytest.mark.parametrize("query", ["", "?sub=a&client_id=b", "?sid=a&client_id=b", "?sub=a&sid=b&client_id=c", "?client_id="])
def test_rp_sessions_are_looked_up_by_exactly_one_of_three(shared_provider: Provider, query: str) -> None:
    assert refused(shared_provider, f"/sessions{query}") == "malformed_request"


def test_one_that_ended_and_one_that_began_again_are_shown_as_by_subject(provider: Provider) -> None:
    subs = [new_id("sub") for _ in range(2)]
    for sub in subs:
        provider.start("wiki", sub=sub, sid=f"{sub}-session", at=datetime.now(UTC) - timedelta(minutes=1))
    ends = [provider.end_session(f"{sub}-session", at=datetime.now(UTC) - timedelta(seconds=30)) for sub in subs]
    for sub in subs:
        until(lambda sub=sub: provider.rp_sessions(sub=sub)[0]["logout_id"])  # type: ignore[misc]
    provider.start("wiki", sub=subs[1], sid=f"{subs[1]}-session")

    listed = {
        each["sub"]: each for each in until(lambda: provider.rp_sessions(client_id="wiki"), holds=lambda all_: len(all_) == 2)
    }

    for sub in subs:
        (by_subject,) = provider.rp_sessions(sub=sub)
        assert listed[sub] == by_subject
    assert (listed[subs[0]]["logout_id"], listed[subs[1]]["logout_id"]) == (ends[0], None)
