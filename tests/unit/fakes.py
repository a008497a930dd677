"""Samples of events, and a generator of random numbers that a test can foresee."""

import json
from pathlib import Path
from random import Random
from typing import Any

EVENTS = Path(__file__).resolve().parents[2] / "events"


def sample(name: str) -> Any:
    """Return one of the events of ``events/``."""
    return json.loads((EVENTS / name).read_text())


class Steady(Random):
    """Spreads nothing."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2
