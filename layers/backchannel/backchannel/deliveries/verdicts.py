"""What becomes of a message once its delivery was looked at. Times in milliseconds."""

from dataclasses import dataclass, field

from backchannel.deliveries.outcomes import Outcome
from backchannel.deliveries.records import DeliveryRecord


@dataclass(frozen=True, slots=True)
class Measured:
    """How long the parts of an attempt took; ``since_end_ms`` counts from the end of the session."""

    signing_ms: float
    post_ms: float
    since_end_ms: int


@dataclass(frozen=True, slots=True)
class Done:
    """The message has done its work. ``final`` is the delivery as it is recorded; without ``outcome``, it was final before."""

    outcome: Outcome | None = None
    measured: Measured | None = None
    client: tuple[str, str] | None = None
    final: DeliveryRecord | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RetryIn:
    """The message has to come again after ``delay``."""

    delay: int
    outcome: Outcome | None = None
    measured: Measured | None = None
    client: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """An internal failure prevented the attempt, which has been due for ``overdue``, if that is known."""

    overdue: int | None = None


type Verdict = Done | RetryIn | Postponed
"""What becomes of a message.

``outcome`` is the delivery's as it is recorded, ``measured`` is there if a POST was made, ``client`` is the issuer and the
``client_id`` whose outcome it is.
"""
