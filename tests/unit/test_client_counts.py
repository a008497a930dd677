"""What outcomes are counted as, and what the sums say."""

import math
from collections import Counter
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from backchannel.deliveries.client_counts import (
    LAST_BUCKET,
    RETENTION_DAYS,
    SHARDS,
    ClientCounts,
    ClientDay,
    bucket,
    day_of,
    names,
    percentile,
)
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.verdicts import Measured
from backchannel.errors import StorageUnavailable

DAY = 86_400_000
MEASURED = Measured(signing_ms=10.0, post_ms=20.0, since_end_ms=900)


def test_an_accepted_delivery_is_counted_with_its_time() -> None:
    assert list(names(Outcome(Status.ACCEPTED, "http_200"), MEASURED)) == ["accepted", f"ms:{bucket(900)}"]


@pytest.mark.parametrize(
    ("status", "code", "counted"),
    [
        (Status.RETRYING, "http_503", ["attempt:http_503"]),
        (Status.REJECTED, "http_403", ["attempt:http_403", "failed:http_403"]),
        (Status.UNDELIVERABLE, "connect_timeout", ["attempt:connect_timeout", "failed:connect_timeout"]),
        (Status.BLOCKED, "tls_failed", ["attempt:tls_failed", "failed:tls_failed"]),
    ],
)
def test_a_failed_attempt_and_a_delivery_that_is_given_up_are_counted_apart(
    status: Status, code: str, counted: list[str]
) -> None:
    assert list(names(Outcome(status, code), MEASURED)) == counted


@pytest.mark.parametrize(
    ("status", "code", "counted"),
    [
        (Status.RETRYING, "circuit_open", []),
        (Status.QUEUED, "client_paused", []),
        (Status.SUPERSEDED, "newer_login", []),
        (Status.SUPPRESSED, "expired", []),
        (Status.UNDELIVERABLE, "circuit_open", ["failed:circuit_open"]),
        (Status.UNDELIVERABLE, "client_not_registered", ["failed:client_not_registered"]),
    ],
)
def test_without_an_attempt_only_what_is_given_up_is_counted(status: Status, code: str, counted: list[str]) -> None:
    assert list(names(Outcome(status, code), None)) == counted


def test_status_codes_that_a_relying_party_makes_up_are_counted_together() -> None:
    made_up = {name for status in range(100, 1000) for name in names(Outcome(Status.RETRYING, f"http_{status}"), MEASURED)}

    assert {"attempt:http_503", "attempt:http_5xx", "attempt:http_9xx"} <= made_up
    assert len(made_up) < 80


@given(st.floats(1, 2**34))
def test_the_middle_of_a_bucket_is_at_most_a_tenth_away(milliseconds: float) -> None:
    middle = percentile({f"ms:{bucket(milliseconds)}": 1}, 0.5)

    assert middle is not None
    assert abs(middle - milliseconds) <= milliseconds / 10 + 0.5


@pytest.mark.parametrize(("milliseconds", "number"), [(-5, 0), (0, 0), (1, 0), (2, 4), (1024, 40), (math.inf, LAST_BUCKET)])
def test_a_time_falls_into_a_bucket_that_never_changes(milliseconds: float, number: int) -> None:
    assert bucket(min(milliseconds, 1e15)) == number


@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_percentile_of_a_sum_is_that_of_all_its_times(times: list[int], share: float) -> None:
    first, second = Counter(f"ms:{bucket(each)}" for each in times[::2]), Counter(f"ms:{bucket(each)}" for each in times[1::2])

    found = percentile(first + second, share)

    wanted = sorted(times)[math.ceil(share * len(times)) - 1]
    assert found is not None
    assert abs(found - wanted) <= wanted / 10 + 0.5


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile({"failed:http_503": 3}, 0.5) is None


def test_a_day_is_a_utc_date() -> None:
    assert (day_of(DAY - 1), day_of(DAY)) == ("1970-01-01", "1970-01-02")


class Table:
    """Keeps what it is asked, and answers in parts."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answers = list(answers)

    def update_item(self, **asked: Any) -> dict[str, Any]:
        return self.batch_get_item(**asked)

    def batch_get_item(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "any")
WIKI = ClientDay("https://idp.example", "wiki", "2026-11-27")


def _counts(*answers: dict[str, Any] | Exception) -> tuple[ClientCounts, Table]:
    table = Table(*answers)
    return ClientCounts(cast("Any", table), "counts"), table


def test_a_tally_is_added_in_one_write_that_expires() -> None:
    counts, table = _counts({})

    counts.add(WIKI, {"accepted": 2, "ms:40": 2}, 3)

    (asked,) = table.asked
    assert asked["Key"] == {"pk": {"S": "https://idp.example#wiki#3"}, "sk": {"S": "2026-11-27"}}
    assert asked["UpdateExpression"] == "ADD #0 :0, #1 :1 SET #e = :e"
    assert asked["ExpressionAttributeNames"] == {"#0": "accepted", "#1": "ms:40", "#e": "expires_at"}
    expiry = int(asked["ExpressionAttributeValues"][":e"]["N"])
    assert day_of(expiry * 1000 - RETENTION_DAYS * DAY) == "2026-11-28"


def test_what_dynamodb_leaves_unread_is_read_again() -> None:
    first, second = ({"pk": {"S": f"https://idp.example#wiki#{shard}"}, "sk": {"S": "2026-11-27"}} for shard in (0, 1))
    left = {"counts": {"Keys": [second]}}
    counts, table = _counts(
        {"Responses": {"counts": [first | {"accepted": {"N": "2"}, "expires_at": {"N": "9"}}]}, "UnprocessedKeys": left},
        {"Responses": {"counts": [second | {"accepted": {"N": "3"}}]}},
    )

    assert counts.read([WIKI]) == {WIKI: Counter(accepted=5)}
    assert len(table.asked[0]["RequestItems"]["counts"]["Keys"]) == SHARDS
    assert table.asked[1]["RequestItems"] == left


def test_a_table_in_trouble_is_an_internal_failure() -> None:
    counts, _ = _counts(THROTTLED, THROTTLED, *[{"Responses": {}, "UnprocessedKeys": {"counts": {"Keys": []}}}] * 9)

    for ask in (lambda: counts.add(WIKI, {"accepted": 1}, 0), lambda: counts.read([WIKI]), lambda: counts.read([WIKI])):
        with pytest.raises(StorageUnavailable):
            ask()


def test_an_item_stays_within_a_write_unit_in_an_ordinary_year() -> None:
    """A day with every code of a bad day, and times from a tenth of a second to an hour."""
    codes = ["http_503", "http_502", "http_500", "http_429", "connect_timeout", "read_timeout", "connection_reset", "dns_failure"]
    counted = [f"{what}:{code}" for what in ("failed", "attempt") for code in codes]
    counted += ["accepted", "expires_at", *(f"ms:{number}" for number in range(bucket(100), bucket(3_600_000)))]

    assert sum(len(name) + 5 for name in counted) < 1024
