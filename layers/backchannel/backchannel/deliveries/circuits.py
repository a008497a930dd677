"""One circuit for each client: one that keeps failing is left alone, until a probe succeeds.

Powertools keeps the state: failures are counted in each execution environment, a tripped circuit is known to all through
CircuitsTable. While a circuit is open, one attempt at a time is let through as a probe.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aws_lambda_powertools.utilities.circuit_breaker import (
    CircuitBreakerConfig,
    CircuitBreakerOpenError,
    CircuitState,
    CircuitTransition,
    circuit_breaker,
)
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.aws.dynamodb import key, part
from backchannel.deliveries.attempt import AttemptResult
from backchannel.errors import StorageUnavailable
from backchannel.runtime.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES = 5
"""Failures in a row, within one execution environment, that open a circuit."""

RECOVERY = 30_000
"""Milliseconds before an open circuit lets a probe through."""


class _FailingError(Exception):
    """How Powertools is told of a failure; it carries the result out."""

    def __init__(self, result: AttemptResult) -> None:
        super().__init__()
        self.result = result


_CONFIG = CircuitBreakerConfig(
    failure_threshold=FAILURES, recovery_timeout=RECOVERY // 1000, success_threshold=1, handled_exceptions=_FailingError
)


_STATES: Mapping[CircuitState, Literal["closed", "open", "half_open"]] = {
    CircuitState.CLOSED: "closed",
    CircuitState.OPEN: "open",
    CircuitState.HALF_OPEN: "half_open",
}


_CHANGES: Mapping[tuple[CircuitState, CircuitState], bool] = {
    (CircuitState.CLOSED, CircuitState.OPEN): True,
    (CircuitState.HALF_OPEN, CircuitState.CLOSED): False,
}
"""The transitions that ``on_change`` hears of, and whether the circuit is open from then on."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """Where a client's circuit stands; ``opened_at`` in milliseconds since the epoch."""

    state: Literal["closed", "open", "half_open"]
    opened_at: int | None


class OnChange(Protocol):
    """What is told of a circuit that opens or closes."""

    def __call__(self, provider: str, client_id: str, at: int, *, is_open: bool) -> None:
        """Take note; ``at`` is in milliseconds since the epoch."""


class Circuits:
    """The circuits of all clients. ``on_change`` hears of each, but for probes and failures of these."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str, on_change: OnChange | None = None) -> None:
        self._store = CircuitBreakerDynamoDBPersistence(table_name, boto3_client=dynamodb)
        self._on_change = on_change
        self._guard_of = functools.lru_cache(maxsize=4096)(self._new_guard)

    def call(self, provider: str, client_id: str, send: Callable[[], AttemptResult]) -> AttemptResult | None:
        """Return what ``send`` returns, or None, without a call, while the client's circuit is open.

        Trouble that may pass counts as a failure.

        Raises:
            StorageUnavailable: the circuit is open, and whether this call is the probe cannot be found out.

        """
        try:
            result: AttemptResult = self._guard_of(provider, client_id)(send)
        except _FailingError as failing:
            return failing.result
        except CircuitBreakerOpenError:
            return None
        except AWS_ERRORS as error:
            raise StorageUnavailable(aws_code(error)) from error
        return result

    def _new_guard(self, provider: str, client_id: str) -> Callable[[Callable[[], AttemptResult]], Any]:
        """Return what makes a call unless the client's circuit is open."""

        def changed(transition: CircuitTransition) -> None:
            _log_transition(transition)
            change = _CHANGES.get((transition.from_state, transition.to_state))
            if self._on_change is not None and change is not None:
                self._on_change(provider, client_id, round(time.time() * 1000), is_open=change)

        name = key(provider, part(client_id))
        breaker = circuit_breaker(name, persistence_store=self._store, on_transition=changed, config=_CONFIG)
        return breaker(_count_failure)  # type: ignore[no-any-return]

    def get(self, provider: str, client_id: str) -> Circuit:
        """Return where a client's circuit stands."""
        name = key(provider, part(client_id))
        self._store.configure(config=_CONFIG, circuit_name=name)
        record = self._store.get_state(name)
        opened_at = None if record.state is CircuitState.CLOSED else record.opened_at
        return Circuit(_STATES[record.state], None if opened_at is None else opened_at * 1000)


def _count_failure(send: Callable[[], AttemptResult]) -> AttemptResult:
    result = send()
    if result.may_pass:
        raise _FailingError(result)
    return result


def _log_transition(transition: CircuitTransition) -> None:
    logger.warning(
        "circuit.changed",
        circuit=transition.circuit_name,
        from_state=str(transition.from_state),
        to_state=str(transition.to_state),
    )
