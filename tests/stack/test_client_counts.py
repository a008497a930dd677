"""Counts of deliveries: added up over days and keys, asked for in bounds, and never in a delivery's way."""

import json
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from backchannel.deliveries.client_counts import RETENTION_DAYS, ClientCounts, ClientDay
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.unspeakable import new_id

TODAY = datetime.now(UTC).date()
NOTHING = {
    "accepted": 0,
    "failed": 0,
    "failed_by_code": {},
    "failed_attempts": 0,
    "failed_attempts_by_code": {},
    "p50_ms": None,
    "p95_ms": None,
}


@pytest.fixture
def counts(aws: Aws, stack: Stack) -> ClientCounts:
    return ClientCounts(aws.client("dynamodb"), stack.tables["ClientCountsTable"])


def day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).isoformat()


def test_what_is_added_to_any_key_is_in_the_sum(counts: ClientCounts) -> None:
    of, rng = ClientDay(f"https://idp.example/{secrets.token_hex(6)}", "wiki#é", day(0)), Random(1)  # noqa: S311 - any keys

    for _ in range(20):
        counts.add(of, {"accepted": 2, f"ms:{rng.randrange(40)}": 2}, rng.randrange(4))
    counts.add(of, {"failed:http_403": 1}, 0)

    (tally,) = counts.read([of, of._replace(day=day(1)), of._replace(client_id="mail")]).values()
    assert (tally["accepted"], tally["failed:http_403"]) == (40, 1)
    assert sum(count for name, count in tally.items() if name.startswith("ms:")) == 40


def test_a_clients_days_add_up_to_its_total(provider: Provider, counts: ClientCounts) -> None:
    provider.register_client("http://127.0.0.1:9/", "wiki")
    for ago in (0, 2, 6, 7, 30):
        counts.add(
            ClientDay(provider.issuer, "wiki", day(ago)), {"accepted": 10, "ms:40": 9, "ms:60": 1, "failed:http_403": ago}, 1
        )

    week, month = provider.get("/clients/wiki/counts"), provider.get(f"/clients/wiki/counts?since={day(30)}&until={day(7)}")

    assert (week["since"], week["until"]) == (day(6), day(0))
    assert [(each["day"], each["failed"]) for each in week["days"]] == [(day(6), 6), (day(2), 2), (day(0), 0)]
    total = week["total"]
    assert (total["accepted"], total["failed"], total["failed_by_code"]) == (30, 8, {"http_403": 8})
    assert 1024 <= total["p50_ms"] < 1218
    assert 32768 <= total["p95_ms"] < 38968
    assert [each["day"] for each in month["days"]] == [day(30), day(7)]


def test_a_client_of_which_nothing_is_counted_shows_zeros(provider: Provider) -> None:
    provider.register_client("http://127.0.0.1:9/", "wiki")

    found = provider.get("/clients/wiki/counts")

    assert (found["total"], found["days"]) == (NOTHING, [])
    assert provider.get("/counts")["clients"] == [{"client_id": "wiki", **NOTHING}]


def test_all_clients_are_counted_page_by_page(provider: Provider, counts: ClientCounts) -> None:
    for number in range(3):
        provider.register_client("http://127.0.0.1:9/", f"client-{number}")
        counts.add(ClientDay(provider.issuer, f"client-{number}", day(number)), {"failed:http_403": number + 1}, number)

    found: list[Json] = []
    after = ""
    while True:
        page = provider.get(f"/counts?limit=2{after}")
        found += page["clients"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert [(each["client_id"], each["failed"]) for each in found] == [("client-0", 1), ("client-1", 2), ("client-2", 3)]


@pytest.mark.parametrize(
    "query",
    [
        f"since={day(0)}&until={day(1)}",
        f"since={day(RETENTION_DAYS)}",
        f"since={day(-1)}",
        "since=2026-02-30",
        "since=20260101",
        "since=1788256800",
        "until=0001-01-01",
    ],
)
def test_days_that_cannot_be_are_refused(shared_provider: Provider, query: str) -> None:
    status, answer = shared_provider.stack.admin("GET", f"{shared_provider.path}/counts?{query}")

    assert (status, answer["code"]) == (400, "malformed_request")


def test_a_client_that_is_not_registered_has_no_counts(shared_provider: Provider) -> None:
    assert shared_provider.stack.admin("GET", f"{shared_provider.path}/clients/nobody/counts")[0] == 404


@pytest.mark.alone
def test_deliveries_go_on_while_they_cannot_be_counted(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, began: float
) -> None:
    sid = new_id("sid")
    provider.start(provider.register_client(relying_party()), sub=new_id("sub"), sid=sid)

    with aws.without("DeliveryRole", "dynamodb:UpdateItem", "ClientCounts"):
        provider.wait_until(provider.end_session(sid), "accepted")
        lines = until(lambda: [each for each in aws.log_lines("DeliveryLogGroup", began) if "client.not_counted" in each])

    assert Counter(json.loads(each)["code"] for each in lines).keys() == {"storage_unavailable"}
    assert until(lambda: [each for each in aws.log_lines("DeliveryLogGroup", began) if "ClientsNotCounted" in each])
