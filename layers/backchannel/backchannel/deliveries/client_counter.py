"""Counts outcomes by client. Nothing depends on a count: a failure is logged and counted itself, and no delivery fails by it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random
from typing import Protocol

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.deliveries.client_counts import SHARDS, ClientCounts, ClientDay, day_of, names
from backchannel.deliveries.verdicts import Done, RetryIn, Verdict
from backchannel.errors import BackchannelError
from backchannel.runtime.observability import logger, metrics

PAUSE = 10_000
"""Milliseconds without a write after one that failed: no more than one batch in that time waits for a table in trouble."""

MOST = 20
"""The most clients that one batch writes for: its own, and some that an earlier batch could not."""

RESERVE = 5_000
"""Milliseconds that a batch has to have left: its function must not be stopped for a count."""


class Map(Protocol):
    """Calls a function with each of some things, one after the other or side by side."""

    def __call__[T, R](self, function: Callable[[T], R], each: Iterable[T], /) -> Iterator[R]: ...


class ClientCounter:
    """Counts for one execution environment. What is not written yet is added to a later batch's, or lost with us.

    ``counts`` is called when there is something to write.
    """

    def __init__(self, counts: Callable[[], ClientCounts], rng: Random | None = None) -> None:
        self._counts = counts
        self._rng = rng or Random()  # noqa: S311 - it spreads writes
        self._pending: dict[ClientDay, Counter[str]] = {}
        self._next_write = 0

    def count(self, batch: Iterable[Verdict | None], now: int, *, time_left: int, side_by_side: Map = map) -> None:
        """Count the outcomes of a batch, once for each client; those alone that were recorded."""
        for verdict in batch:
            if isinstance(verdict, Done | RetryIn) and verdict.outcome is not None and verdict.client is not None:
                of = ClientDay(*verdict.client, day_of(now))
                self._pending.setdefault(of, Counter()).update(names(verdict.outcome, verdict.measured))
        self._pending = {of: tally for of, tally in self._pending.items() if tally}
        if self._pending and now >= self._next_write and time_left >= RESERVE:
            self._write(now, side_by_side)

    def _write(self, now: int, side_by_side: Map) -> None:
        taken = {of: self._pending.pop(of) for of in list(islice(reversed(self._pending), MOST))}
        try:
            counts = self._counts()
            failures = list(side_by_side(lambda each: _add(counts, *each, self._rng.randrange(SHARDS)), taken.items()))
        except Exception as error:  # noqa: BLE001 - the outcomes are recorded: no delivery must fail for want of a count
            failures = [error] * len(taken)
        lost = {of: failure for of, failure in zip(taken, failures, strict=True) if failure is not None}
        if not lost:
            return
        for of in lost:
            self._pending.setdefault(of, Counter()).update(taken[of])
        self._next_write = now + PAUSE
        failure = next(iter(lost.values()))
        code = failure.code if isinstance(failure, BackchannelError) else type(failure).__name__
        logger.error("client.not_counted", code=code, detail=str(failure), clients=len(lost))
        metrics.add_metric("ClientsNotCounted", MetricUnit.Count, len(lost))


def _add(counts: ClientCounts, of: ClientDay, tally: Counter[str], shard: int) -> Exception | None:
    try:
        counts.add(of, tally, shard)
    except Exception as error:  # noqa: BLE001 - returned: what the others of the batch have written is not written again
        return error
    return None
