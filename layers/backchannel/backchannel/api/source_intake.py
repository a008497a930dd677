"""What becomes of a source's session events, however they came: they are stored or queued, and counted."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.api.source_counter import SourceCounter
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.events import SessionEvent, kind_of
from backchannel.sessions.intake import Intake, Taken
from backchannel.webhooks.request import Parsed

DIRECT = 20
"""Session events of one webhook that are stored while its sender waits. More are handed on, since some wait three seconds."""

type HandOn = Callable[[Provider, str, Sequence[SessionEvent]], Taken]
"""Sends session events of a source to SourceEventsQueue, for another function to take them in."""


@dataclass(frozen=True, slots=True)
class SourceIntake:
    """Takes in what sources have sent."""

    intake: Intake
    counter: SourceCounter

    def take(
        self,
        provider: Provider,
        source: Source,
        parsed: Parsed,
        now: int,
        *,
        passes_on: Collection[str] = (),
        hand_on: HandOn | None = None,
    ) -> Mapping[str, int]:
        """Store, queue or hand on events of a source, and count them.

        ``passes_on``: clients for which tokens are kept that nobody may be about to send.

        Raises:
            InternalFailure: not everything is stored; the same events can be sent again.

        """
        if hand_on is not None and len(parsed.events) > DIRECT:
            taken = hand_on(provider, source.source, parsed.events)
        else:
            taken = self.intake.take(provider, parsed.events, now, passes_on=passes_on, source=source.source)
        counts = {
            "started": taken.started,
            "ended": taken.ended,
            "ignored": parsed.ignored,
            "unmappable": parsed.unmappable,
        }
        _measure(counts)
        logger.info("webhook.received", extra={"provider": provider.provider, "source": source.source, **counts})
        _warn(parsed, provider.provider, source.source)
        refusal = parsed.refused[-1].code if parsed.refused else None
        all_counts = {**counts, "refused": len(parsed.refused)}
        self.counter.accepted(provider.provider, source.source, all_counts, _last_kind(parsed), now, refusal=refusal)
        return counts

    def take_counted(self, provider: Provider, source: str, events: Sequence[SessionEvent], now: int) -> None:
        """Store or queue events that were counted when they were handed on; the ends of late starts are found only now.

        Raises:
            InternalFailure: not everything is stored; the same events can be taken again.

        """
        taken = self.intake.take(provider, events, now, source=source)
        late = taken.started + taken.ended - len(events)
        if late:
            _measure({"ended": late})
            self.counter.accepted(provider.provider, source, {"ended": late}, None, now)


def _measure(counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        metrics.add_metric(f"SessionEvents{name.capitalize()}", MetricUnit.Count, count)


def _warn(parsed: Parsed, provider: str, source: str) -> None:
    """Log and count what the operator has to look at."""
    if parsed.unknown_reasons:
        logger.warning("webhook.reason_unknown", provider=provider, source=source)
        metrics.add_metric("ReasonsUnknown", MetricUnit.Count, parsed.unknown_reasons)
    if parsed.stopped:
        logger.warning("webhook.stream_stopped", provider=provider, source=source, status=parsed.stopped[-1])
        metrics.add_metric("StreamsStopped", MetricUnit.Count, len(parsed.stopped))
    if parsed.refused:
        codes = Counter(each.code for each in parsed.refused)
        logger.warning("webhook.events_refused", provider=provider, source=source, codes=codes)
        metrics.add_metric("EventsRefused", MetricUnit.Count, len(parsed.refused))


def _last_kind(parsed: Parsed) -> str | None:
    """Return what the last event was that was accepted, None if all were refused."""
    if parsed.events:
        return kind_of(parsed.events[-1])
    if parsed.unmappable:
        return "unmappable"
    return "ignored" if parsed.ignored or not parsed.refused else None
