"""One circuit for each client: one that keeps failing is left alone, until a probe succeeds.

Powertools keeps the state: failures are counted in each execution environment, a tripped circuit is known to all through
CircuitsTable. While a circuit is open, one attempt at a time is let through as a probe.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aws_lambda_powertools.utilities.circuit_breaker import (
    CircuitBreakerConfig,
    CircuitBreakerOpenError,
    CircuitState,
    CircuitTransition,
    circuit_breaker,
)
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.aws.dynamodb import key
from backchannel.errors import StorageUnavailable
from backchannel.runtime.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES = 5
"""Failures in a row, within one execution environment, that open a circuit."""

RECOVERY = 30
"""Seconds before an open circuit lets a probe through."""


class FailingError(Exception):
    """The protected call met trouble at the RP that may pass: what circuits count."""


class CircuitOpenError(Exception):
    """The client is left alone for now."""


_CONFIG = CircuitBreakerConfig(
    failure_threshold=FAILURES, recovery_timeout=RECOVERY, success_threshold=1, handled_exceptions=FailingError
)


_STATES: Mapping[CircuitState, Literal["closed", "open", "half_open"]] = {
    CircuitState.CLOSED: "closed",
    CircuitState.OPEN: "open",
    CircuitState.HALF_OPEN: "half_open",
}


@dataclass(frozen=True, slots=True)
class Circuit:
    """Where a client's circuit stands; ``opened_at`` in seconds since the epoch."""

    state: Literal["closed", "open", "half_open"]
    opened_at: int | None


class Circuits:
    """The circuits of all clients."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._store = CircuitBreakerDynamoDBPersistence(table_name, boto3_client=dynamodb)
        self._guard_of = functools.lru_cache(maxsize=4096)(self._new_guard)

    def guard[T](self, provider: str, client_id: str, call: Callable[[], T]) -> T:
        """Call, unless the client's circuit is open.

        Raises:
            CircuitOpenError: it is.
            StorageUnavailable: it is open, and whether this call is the probe cannot be found out.

        """
        try:
            result: T = self._guard_of(key(provider, client_id))(call)
        except CircuitBreakerOpenError as error:
            raise CircuitOpenError from error
        except AWS_ERRORS as error:
            raise StorageUnavailable(aws_code(error)) from error
        return result

    def _new_guard(self, name: str) -> Callable[[Callable[[], object]], Any]:
        """Return what makes a call unless the circuit of this name is open."""
        breaker = circuit_breaker(name, persistence_store=self._store, on_transition=_log_transition, config=_CONFIG)
        return breaker(lambda call: call())  # type: ignore[no-any-return]

    def get(self, provider: str, client_id: str) -> Circuit:
        """Return where a client's circuit stands."""
        name = key(provider, client_id)
        self._store.configure(config=_CONFIG, circuit_name=name)
        record = self._store.get_state(name)
        return Circuit(_STATES[record.state], None if record.state is CircuitState.CLOSED else record.opened_at)


def _log_transition(transition: CircuitTransition) -> None:
    logger.warning(
        "circuit.changed",
        circuit=transition.circuit_name,
        from_state=str(transition.from_state),
        to_state=str(transition.to_state),
    )
