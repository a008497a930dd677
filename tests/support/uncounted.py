"""For tests that do not care what sources send."""

from backchannel.api.source_counter import SourceCounter
from backchannel.providers.source_activity import SourceActivities, Tally


class NoActivities(SourceActivities):
    """Keeps nothing."""

    def __init__(self) -> None:
        pass

    def add(self, provider: str, source: str, tally: Tally) -> None:
        pass


UNCOUNTED = SourceCounter(NoActivities)
