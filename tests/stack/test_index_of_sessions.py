"""What the index of RP sessions by client costs: one write with the first start, and none after it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from backchannel.sessions.events import RpSessionStarted, SessionEnded
from backchannel.sessions.items import SHARDS
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Claim, Sessions
from local.client import Stack
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.inside

NOW = 1_788_256_800_000


class Metered:
    """SessionsTable, and how many write units its items and its index take."""

    def __init__(self, stack: Stack) -> None:
        self.units: Counter[str] = Counter()
        self.issuer = f"https://idp.example/{new_id('issuer')}"
        client = boto3.client(
            "dynamodb",
            endpoint_url=stack.endpoint_url,
            region_name=stack.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.meta.events.register("provide-client-params.dynamodb", self._ask)  # type: ignore[arg-type] # what it returns counts
        client.meta.events.register("after-call.dynamodb", self._add)
        self.sessions = Sessions(client, stack.tables["SessionsTable"])

    def of(self, write: Callable[[], object]) -> Counter[str]:
        self.units.clear()
        write()
        return self.units.copy()

    def start(self, sub: str, sid: str | None, at: int) -> None:
        self.sessions.start(self.issuer, RpSessionStarted(sub, "wiki", at, sid), NOW)

    def _ask(self, params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        return {**params, "ReturnConsumedCapacity": "INDEXES"} if _writes(model) else params

    def _add(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if not _writes(model):
            return
        found = parsed.get("ConsumedCapacity", [])  # there is none of a condition that does not hold
        for each in found if isinstance(found, list) else [found]:
            index = sum(one["CapacityUnits"] for one in each.get("GlobalSecondaryIndexes", {}).values())
            self.units += Counter(table=each["CapacityUnits"] - index, index=index)  # of a transaction, only the sum is told


def _writes(model: Any) -> bool:
    return model.name in {"UpdateItem", "TransactWriteItems"}


@pytest.mark.parametrize(("sid", "items"), [("s1", 2), (None, 1)])
def test_only_the_first_start_of_an_rp_session_writes_to_the_index(stack: Stack, sid: str | None, items: int) -> None:
    metered, sub = Metered(stack), new_id("sub")
    end = SessionEnded("s1", NOW - 1000, "e1")
    session = RpSession("wiki", sub, NOW - 5000, sid)

    first = metered.of(lambda: metered.start(sub, sid, NOW - 5000))
    again = metered.of(lambda: metered.start(sub, sid, NOW - 5000))
    newer = metered.of(lambda: metered.start(sub, sid, NOW - 4000))
    claim = Claim("logout", "run", NOW - 1000)
    claimed = metered.of(lambda: metered.sessions.claim(metered.issuer, session, end, claim, NOW))
    marked = metered.of(
        lambda: metered.sessions.mark(metered.issuer, metered.sessions.find(metered.issuer, session, NOW) or session, NOW)
    )
    later = metered.of(lambda: metered.start(sub, sid, NOW))

    assert first == {"table": items, "index": 1}
    assert [each["index"] for each in (again, newer, claimed, marked, later)] == [0] * 5
    assert (newer["table"], claimed["table"]) == (items, 1)


def test_a_start_in_a_batch_costs_the_index_one_write_too(stack: Stack) -> None:
    metered = Metered(stack)
    starts = [RpSessionStarted(new_id("sub"), "wiki", NOW, f"sid-{number}") for number in range(10)]

    units = metered.of(lambda: metered.sessions.start_many(metered.issuer, starts, NOW))

    listed = [
        each.sid
        for shard in range(SHARDS)
        for each in metered.sessions.of_client(metered.issuer, "wiki", shard, after=None, limit=100, now=NOW).items
    ]
    assert units.total() == 2 * 20 + 10  # an item costs twice as much in a transaction, the index does not
    assert sorted(map(str, listed)) == [f"sid-{number}" for number in range(10)]
