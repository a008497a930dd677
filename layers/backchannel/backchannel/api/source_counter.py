"""Counts what sources send. Nothing depends on a count: a failure is logged and counted itself, and no webhook fails by it."""

from collections.abc import Callable, Mapping

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.errors import BackchannelError
from backchannel.providers.source_activity import Last, SourceActivities, Tally
from backchannel.runtime.observability import logger, metrics

REFUSALS_EVERY = 1_000
"""Milliseconds between two writes for a source's refusals: whoever sends it garbage causes no more of them."""

PAUSE = 10_000
"""Milliseconds without a write after one that failed: no more than one webhook in that time waits for a table in trouble."""


class SourceCounter:
    """Counts for one execution environment. What is not written yet is added to the source's next write, or lost with us.

    ``activities`` is called when there is something to write.
    """

    def __init__(self, activities: Callable[[], SourceActivities]) -> None:
        self._activities = activities
        self._pending: dict[tuple[str, str], Tally] = {}
        self._next_refusals: dict[tuple[str, str], int] = {}
        self._next_write = 0

    def accepted(
        self, provider: str, source: str, counts: Mapping[str, int], kind: str | None, now: int, *, refusal: str | None = None
    ) -> None:
        """Count the events of a webhook that was taken.

        ``kind`` is that of the last that was accepted, ``refusal`` the code of the last that was refused; None if there is none.
        """
        last_event = None if kind is None else Last(kind, now)
        last_refusal = None if refusal is None else Last(refusal, now)
        self._keep(provider, source, Tally(counts, last_event, last_refusal))
        self._write((provider, source), now)

    def refused(self, provider: str, source: str, code: str, now: int) -> None:
        """Count a webhook that was refused; a source's refusals are written at most once a second."""
        self._keep(provider, source, Tally({"refused": 1}, last_refusal=Last(code, now)))
        name = provider, source
        if now >= self._next_refusals.get(name, 0):
            self._next_refusals[name] = now + REFUSALS_EVERY
            self._write(name, now)

    def _keep(self, provider: str, source: str, tally: Tally) -> None:
        pending = self._pending.get((provider, source))
        self._pending[provider, source] = tally if pending is None else pending.plus(tally)

    def _write(self, name: tuple[str, str], now: int) -> None:
        if now < self._next_write:
            return
        tally = self._pending.pop(name)
        try:
            self._activities().add(*name, tally)
        except Exception as error:  # noqa: BLE001 - the events are stored: their sender must not be told otherwise
            self._pending[name] = tally
            self._next_write = now + PAUSE
            note_not_counted(*name, error)


def note_not_counted(provider: str, source: str, error: Exception) -> None:
    """Log and count that something was not counted."""
    code = error.code if isinstance(error, BackchannelError) else type(error).__name__
    logger.error("source.not_counted", extra={"provider": provider, "source": source, "code": code, "detail": str(error)})
    metrics.add_metric("SourcesNotCounted", MetricUnit.Count, 1)
