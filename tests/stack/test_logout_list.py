"""The list of logouts: complete, the newest first, in pages that each read a limited number."""

import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from backchannel.api import logout_list
from backchannel.api.paging import cursor
from backchannel.api.resolver import app
from backchannel.logouts.listing import LogoutList
from backchannel.logouts.table import SHARDS, Logouts
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEnded
from backchannel.sessions.intake import end_message
from local.client import Stack
from tests.support.aws import Aws
from tests.support.deployed import CONTEXT
from tests.support.provider import Json

pytestmark = pytest.mark.inside

BEGAN = round(time.time() * 1000) - 3_600_000
FIRST, SECOND = "arn:aws:iam::000000000000:user/first", "arn:aws:iam::000000000000:user/second"


class Operator:
    """Lists logouts within this process, over the real table."""

    def __init__(self, aws: Aws, stack: Stack) -> None:
        self.issuer = f"https://idp.example/{secrets.token_hex(6)}"
        self.logouts = Logouts(aws.client("dynamodb"), stack.tables["DeliveriesTable"])
        self.listing = LogoutList(aws.client("dynamodb"), stack.tables["DeliveriesTable"])

    def open(
        self,
        number: int,
        *,
        source: str | None = None,
        by: str | None = None,
        reason: Reason | None = None,
        sid: str | None = None,
    ) -> str:
        """Record a logout that ended so many milliseconds after the beginning."""
        event = SessionEnded(sid or f"sid-{number}", BEGAN + number, secrets.token_hex(4), reason=reason)
        message = end_message("acme", self.issuer, event, source=source, requested_by=by)
        self.logouts.open(message, self.issuer, BEGAN + number)
        return message.logout_id

    def ask(self, **query: object) -> tuple[int, Json]:
        using = SimpleNamespace(
            providers=SimpleNamespace(get=lambda _: SimpleNamespace(issuer=self.issuer)), logout_list=self.listing
        )
        app.append_context(dependencies=using)
        event = {
            "httpMethod": "GET",
            "path": "/providers/acme/logouts",
            "headers": {},
            "multiValueHeaders": {},
            "queryStringParameters": {name: str(value) for name, value in query.items()},
            "multiValueQueryStringParameters": {name: [str(value)] for name, value in query.items()},
            "requestContext": {"stage": "live"},
        }
        answer = app.resolve(event, CONTEXT)  # type: ignore[arg-type]
        return answer["statusCode"], json.loads(answer["body"])

    def pages(self, **query: object) -> list[list[str]]:
        found: list[list[str]] = []
        while len(found) < 50:
            status, answer = self.ask(**query)
            assert status == 200, answer
            found.append([each["logout_id"] for each in answer["logouts"]])
            if answer["next"] is None:
                return found
            query["after"] = answer["next"]
        raise AssertionError("no end of it")


@pytest.fixture
def operator(aws: Aws, stack: Stack) -> Operator:
    return Operator(aws, stack)


def side_by_side(opening: Callable[[int], str], count: int) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(opening, range(count)))


def at(number: int) -> str:
    return datetime.fromtimestamp((BEGAN + number) / 1000, UTC).isoformat()


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_every_logout_is_listed_once_and_the_newest_first(operator: Operator, limit: int) -> None:
    opened = side_by_side(lambda number: operator.open(number, source="app"), 30)

    pages = operator.pages(limit=limit)

    assert [each for page in pages for each in page] == opened[::-1]
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_a_storm_is_spread_over_all_parts_of_the_list(operator: Operator) -> None:
    side_by_side(lambda number: operator.open(number, source="app"), 64)

    parts = [operator.listing._of_shard(operator.issuer, shard, ("0", "~"), 64) for shard in range(SHARDS)]

    assert sum(map(len, parts)) == 64
    assert max(map(len, parts)) < 24


def test_a_time_has_those_that_ended_in_it(operator: Operator) -> None:
    opened = side_by_side(lambda number: operator.open(number * 1000, source="app"), 6)

    assert operator.pages(since=at(1000), until=at(4000), limit=2) == [opened[4:2:-1], opened[2:0:-1], []]
    assert operator.pages(since=at(4000)) == [opened[:3:-1]]
    assert operator.pages(until=at(1000)) == [opened[1::-1]]


def test_filters_find_all_in_pages_that_read_a_limited_number(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logout_list, "PAGE", 5)
    monkeypatch.setattr(logout_list, "MOST_READ", 10)
    by = {3: FIRST, 25: FIRST, 26: SECOND}
    opened = side_by_side(lambda number: operator.open(number, source=None if number in by else "app", by=by.get(number)), 30)

    assert operator.pages(requested_by=FIRST) == [[opened[25]], [], [opened[3]], []]
    assert operator.pages(requested_by=FIRST, limit=1) == [[opened[25]], [], [], [opened[3]], []]
    assert operator.pages(requested_by=SECOND, since=at(25)) == [[opened[26]]]


def test_a_logout_without_a_reason_is_found_by_logout(operator: Operator) -> None:
    plain, compromised = operator.open(1, source="app"), operator.open(2, by=FIRST, reason=Reason.COMPROMISED)

    assert operator.pages(reason="logout") == [[plain]]
    assert operator.pages(reason="compromised") == [[compromised]]
    assert operator.ask(reason="whatever")[0] == 400


def test_a_later_end_moves_its_logout_to_the_front_with_who_asked_for_it(operator: Operator) -> None:
    first, second = operator.open(1, source="app", sid="s1"), operator.open(2, source="app", sid="s2")
    assert operator.open(3, by=SECOND, sid="s1") == first

    _, answer = operator.ask()

    shown = [(each["logout_id"], each["source"], each["requested_by"]) for each in answer["logouts"]]
    assert shown == [(first, None, SECOND), (second, "app", None)]


def test_what_nobody_asked_for_is_not_listed(operator: Operator) -> None:
    operator.open(1, reason=Reason.EXPIRED)

    assert operator.pages() == [[]]


@pytest.mark.parametrize("since", ["1969-12-31T23:59:59Z", "2999-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_is_refused(operator: Operator, since: str) -> None:
    assert operator.ask(since=since)[1]["code"] == "malformed_request"


def test_an_edited_cursor_is_refused(operator: Operator) -> None:
    listed = "logouts/acme/None/None/None/None"
    for place in ("", "~", 5, {"pk": "x"}, "\ud800"):
        after = cursor(place, listed)

        status, answer = operator.ask(after=after)

        assert (status, answer["code"]) == (400, "malformed_request"), quote(repr(place))
