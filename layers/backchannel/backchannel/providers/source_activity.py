"""SourceActivityTable: what each source has sent, in counts, times and words of ours; nothing of what a sender said.

| pk | |
|---|---|
| ``<provider>#<source>`` | since, counts, last_event, last_event_at, last_refusal, last_refused_at |

``admin`` makes and deletes the item of a source. Others only add to an item that is there, so none outlives its source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from backchannel.aws.dynamodb import assignments, bind, key, optional_int, storage, update_if

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RESULTS = ("started", "ended", "ignored", "unmappable", "unmatched", "refused")
"""What is counted. ``unmatched`` are those of ``ended`` for which nobody was found."""


class Last(NamedTuple):
    """The latest event by its kind, or the latest refusal by its code, and when that was in milliseconds."""

    what: str
    at: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What is to be added to a source's activity."""

    counts: Mapping[str, int]
    last_event: Last | None = None
    last_refusal: Last | None = None

    def plus(self, later: Tally) -> Tally:
        """Return both together."""
        counts = Counter(self.counts) + Counter(later.counts)
        return Tally(counts, later.last_event or self.last_event, later.last_refusal or self.last_refusal)


def _nothing() -> Mapping[str, int]:
    return dict.fromkeys(RESULTS, 0)


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """What a source has sent ``since`` then, in milliseconds; None for one that was configured before anything was counted."""

    since: int | None = None
    counts: Mapping[str, int] = field(default_factory=_nothing)
    last_event: Last | None = None
    last_refusal: Last | None = None

    def is_silent(self, expected_interval: int | None, now: int) -> bool:
        """Whether nothing that was accepted has come for longer than ``expected_interval`` seconds."""
        heard = self.since if self.last_event is None else self.last_event.at
        return heard is not None and expected_interval is not None and now - heard > expected_interval * 1000


class _ActivityItem(Model):
    pk = UnicodeAttribute(hash_key=True)
    since = NumberAttribute()
    started = NumberAttribute(null=True)
    ended = NumberAttribute(null=True)
    ignored = NumberAttribute(null=True)
    unmappable = NumberAttribute(null=True)
    unmatched = NumberAttribute(null=True)
    refused = NumberAttribute(null=True)
    last_event = UnicodeAttribute(null=True)
    last_event_at = NumberAttribute(null=True)
    last_refusal = UnicodeAttribute(null=True)
    last_refused_at = NumberAttribute(null=True)


class SourceActivities:
    """The operations on SourceActivityTable."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(_ActivityItem, dynamodb, table_name)

    def begin(self, provider: str, source: str, now: int) -> None:
        """Count a source from now on, unless it is counted already."""
        with storage():
            self._items(key(provider, source)).update([self._items.since.set(self._items.since | now)])

    def get(self, provider: str, source: str) -> SourceActivity:
        """Return what a source has sent."""
        with storage():
            try:
                item = self._items.get(key(provider, source), consistent_read=True)
            except self._items.DoesNotExist:
                return SourceActivity()
        return SourceActivity(
            since=int(item.since),
            counts={result: int(getattr(item, result) or 0) for result in RESULTS},
            last_event=_last(item.last_event, item.last_event_at),
            last_refusal=_last(item.last_refusal, item.last_refused_at),
        )

    def add(self, provider: str, source: str, tally: Tally) -> None:
        """Add to a source's activity, if the source is still there. Its last refusal stays if that is later than the tally's."""
        actions = [getattr(self._items, result).add(count) for result, count in tally.counts.items() if count]
        if tally.last_event is not None:
            actions += assignments(self._items, last_event=tally.last_event.what, last_event_at=tally.last_event.at)
        item, is_there = self._items(key(provider, source)), self._items.pk.exists()
        if tally.last_refusal is None:
            update_if(item, is_there, actions)
            return
        what, at = tally.last_refusal
        refusal = assignments(self._items, last_refusal=what, last_refused_at=at)
        is_latest = self._items.last_refused_at.does_not_exist() | (self._items.last_refused_at <= at)
        if not update_if(item, is_there & is_latest, [*actions, *refusal]):
            update_if(item, is_there, actions)

    def delete(self, provider: str, source: str) -> None:
        """Forget what a source has sent."""
        with storage():
            self._items(key(provider, source)).delete()


def _last(what: str | None, at: float | None) -> Last | None:
    when = optional_int(at)
    return None if what is None or when is None else Last(what, when)
