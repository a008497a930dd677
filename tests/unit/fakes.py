"""Samples of events, what senders are verified by, and a generator of random numbers that a test can foresee."""

import json
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from backchannel.errors import SignatureInvalidError
from backchannel.webhooks.request import Trust

EVENTS = Path(__file__).resolve().parents[2] / "events"
ISSUER = "https://idp.example.test/"


def sample(name: str) -> Any:
    """Return one of the events of ``events/``."""
    return json.loads((EVENTS / name).read_text())


def trust(*secrets: str) -> Trust:
    """Return what the senders of a source are verified by."""
    return Trust(lambda: secrets, _no_keys, ISSUER)


def _no_keys(_: str) -> NoReturn:
    raise SignatureInvalidError("no keys")


class Steady(Random):
    """Spreads nothing."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2
