"""Which sources send nothing, although their operator expects them to."""

from dataclasses import dataclass

from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Providers


@dataclass(frozen=True, slots=True)
class SilentSource:
    """A source of which nothing was accepted for longer than its ``expected_interval``, in seconds."""

    provider: str
    source: str
    expected_interval: int
    last_event_at: int | None


@dataclass(frozen=True, slots=True)
class SilenceCheck:
    """Looks at all sources that have an ``expected_interval``."""

    providers: Providers
    activities: SourceActivities

    def run(self, now: int) -> list[SilentSource]:
        """Return those that are silent; ``now`` in milliseconds."""
        found = []
        for provider in self.providers.names():
            for source in self.providers.sources(provider):
                if source.expected_interval is None:
                    continue
                activity = self.activities.get(provider, source.source)
                if activity.is_silent(source.expected_interval, now):
                    last = activity.last_event
                    silent = SilentSource(provider, source.source, source.expected_interval, None if last is None else last.at)
                    found.append(silent)
        return found
