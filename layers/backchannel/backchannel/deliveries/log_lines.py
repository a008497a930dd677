"""What the log says of a delivery. No line holds a subject; session ids stand there as hashes."""

from backchannel.deliveries.attempt import AttemptResult
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Outcome
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.verdicts import Measured
from backchannel.errors import InternalFailure
from backchannel.runtime.observability import logger, short_hash


def log_attempt(record: DeliveryRecord, outcome: Outcome, attempted: AttemptResult, measured: Measured) -> None:
    """Write the one wide line of an attempt."""
    logger.info(
        "delivery.attempted",
        provider=record.provider,
        logout_id=record.logout_id,
        client_id=record.client_id,
        sid_hash=short_hash(record.sid),
        attempt=record.attempts + 1,
        status=outcome.status,
        code=outcome.code,
        status_code=attempted.report.status_code,
        address=attempted.address,
        detail=attempted.detail,
        kid=attempted.kid,
        signing_ms=round(attempted.signing_ms, 1),
        post_ms=round(attempted.post_ms, 1),
        since_end_ms=measured.since_end_ms,
        next_delay_s=None if outcome.delay is None else round(outcome.delay / 1000),
    )


def log_settled(record: DeliveryRecord, outcome: Outcome) -> None:
    """Say what became of a delivery without an attempt."""
    logger.info(
        "delivery.settled",
        logout_id=record.logout_id,
        client_id=record.client_id,
        status=outcome.status,
        code=outcome.code,
        detail=outcome.detail,
    )


def log_postponed(message: DeliveryMessage, failure: InternalFailure) -> None:
    """Say which internal failure holds a delivery up."""
    logger.warning(
        "delivery.postponed",
        logout_id=message.logout_id,
        client_id=message.client_id,
        code=failure.code,
        detail=str(failure),
    )
