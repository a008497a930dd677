"""ClientCountsTable: how many deliveries of each client were accepted and how many failed, by day.

| pk | sk | |
|---|---|---|
| ``<issuer>#<client_id>#<shard>`` | ``<day>``, a UTC date | the counts, ``expires_at`` |

| count | of |
|---|---|
| ``accepted`` | deliveries that were accepted |
| ``ms:<bucket>`` | the same, by the time from the end to the acceptance |
| ``failed:<code>`` | deliveries that became final without being accepted |
| ``attempt:<code>`` | attempts that were not accepted |

Each is a number that is added to, so sums over shards, days and clients stay right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from http import HTTPStatus
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.aws.dynamodb import key, part
from backchannel.deliveries.outcomes import PENDING, Outcome, Status
from backchannel.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from backchannel.deliveries.verdicts import Measured

SHARDS = 4
"""Keys over which the writes for a client are spread: one key takes a thousand of them a second."""

RETENTION_DAYS = 90
"""How long a day is kept: as long as the deliveries that it counts."""

NO_FAILURES = frozenset({Status.ACCEPTED, Status.SUPERSEDED, Status.SUPPRESSED, Status.UNADDRESSABLE})
"""Final statuses that are not the fault of the relying party, nor of the way to it."""

BUCKETS_PER_DOUBLING = 4
"""So the middle of a bucket is at most a tenth away from any time in it."""

LAST_BUCKET = 34 * BUCKETS_PER_DOUBLING
"""What was accepted more than half a year after the end."""

_STATUS_CODES = frozenset(map(int, HTTPStatus))
_KEYS_AT_ONCE = 100
_CONCURRENCY = 8
_TRIES = 4


class ClientDay(NamedTuple):
    """Whose deliveries are counted, and on which day."""

    issuer: str
    client_id: str
    day: str


def day_of(at: int) -> str:
    """Return the day of a time in milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()


def names(outcome: Outcome, measured: Measured | None) -> Iterator[str]:
    """Yield what an outcome is counted as: names of attributes."""
    if outcome.status is Status.ACCEPTED:
        yield "accepted"
        if measured is not None:
            yield f"ms:{bucket(measured.since_end_ms)}"
        return
    if measured is not None:
        yield f"attempt:{_code(outcome.code)}"
    if outcome.status not in PENDING | NO_FAILURES:
        yield f"failed:{_code(outcome.code)}"


def _code(code: str) -> str:
    """Return a code as it is counted: a relying party that makes status codes up must not make an item grow without end."""
    prefix, _, number = code.partition("http_")
    return code if prefix or int(number) in _STATUS_CODES else f"http_{number[0]}xx"


def bucket(milliseconds: float) -> int:
    """Return the bucket that a time falls into; each is a fixed factor wider than the one before."""
    return 0 if milliseconds < 1 else min(int(math.log2(milliseconds) * BUCKETS_PER_DOUBLING), LAST_BUCKET)


def percentile(tally: Mapping[str, int], share: float) -> int | None:
    """Return the time in milliseconds within which this share of the accepted deliveries was accepted; None if there are none."""
    found = sorted((int(name[3:]), count) for name, count in tally.items() if name.startswith("ms:"))
    left = share * sum(count for _, count in found)
    for number, count in found:
        left -= count
        if left <= 0:
            return round(2 ** ((number + 0.5) / BUCKETS_PER_DOUBLING))
    return None


class ClientCounts:
    """The operations on ClientCountsTable."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._dynamodb = dynamodb
        self._table = table_name

    def add(self, of: ClientDay, tally: Mapping[str, int], shard: int) -> None:
        """Add to a client's day.

        Raises:
            StorageUnavailable: it may not have been added.

        """
        counts = list(tally.items())
        adds = ", ".join(f"#{position} :{position}" for position in range(len(counts)))
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(of, shard),
                UpdateExpression=f"ADD {adds} SET #e = :e",
                ExpressionAttributeNames={"#e": "expires_at"} | {f"#{at}": name for at, (name, _) in enumerate(counts)},
                ExpressionAttributeValues={":e": {"N": str(_expiry(of.day))}}
                | {f":{at}": {"N": str(count)} for at, (_, count) in enumerate(counts)},
            )
        except AWS_ERRORS as error:
            raise StorageUnavailable(aws_code(error)) from error

    def read(self, of: Iterable[ClientDay]) -> Mapping[ClientDay, Counter[str]]:
        """Return what was counted on clients' days; it may lag by seconds. Days on which nothing was are left out."""
        wanted = [(each, _key(each, shard)) for each in of for shard in range(SHARDS)]
        of_key = {(found["pk"]["S"], found["sk"]["S"]): each for each, found in wanted}
        sums: dict[ClientDay, Counter[str]] = {}
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            batches = batched((found for _, found in wanted), _KEYS_AT_ONCE, strict=False)
            for items in pool.map(self._get, batches):
                for item in items:
                    counts = {name: int(value["N"]) for name, value in item.items() if name not in {"pk", "sk", "expires_at"}}
                    sums.setdefault(of_key[item["pk"]["S"], item["sk"]["S"]], Counter()).update(counts)
        return sums

    def _get(self, keys: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        wanted: Any = {self._table: {"Keys": list(keys)}}
        try:
            for _ in range(_TRIES):
                answer = self._dynamodb.batch_get_item(RequestItems=wanted)
                found += answer["Responses"].get(self._table, [])
                wanted = answer.get("UnprocessedKeys")
                if not wanted:
                    return found
        except AWS_ERRORS as error:
            raise StorageUnavailable(aws_code(error)) from error
        raise StorageUnavailable("the counts were not read as a whole")


def _key(of: ClientDay, shard: int) -> dict[str, dict[str, str]]:
    return {"pk": {"S": key(of.issuer, part(of.client_id), str(shard))}, "sk": {"S": of.day}}


def _expiry(day: str) -> int:
    midnight = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return round(midnight.timestamp()) + (RETENTION_DAYS + 1) * 86_400
