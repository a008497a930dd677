"""One attempt of one delivery: lease, configuration of this moment, fresh token, signature, POST, outcome."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from backchannel.deliveries import logout_token, outcomes
from backchannel.deliveries.attempt import Attempt, Poster, Signer
from backchannel.deliveries.circuits import RECOVERY, CircuitOpenError, FailingError
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.newer_logins import NewerLogins
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.table import Answered, Begun, Deliveries, Later, Settled
from backchannel.errors import NotFoundError, OurFault, StorageUnavailable
from backchannel.providers.clients import DEADLINE_MAX, Client
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger, short_hash

WAIT_MAX = 900
"""Seconds, on top of RECOVERY, that a delivery waits for a circuit to close or a client to be resumed."""

_LOST = 10
"""Seconds before a message comes again whose lease was lost: somebody else has the delivery by now."""

POST_WITHIN = 12
"""Seconds from the beginning of an attempt: a later POST (8 s), and the record of it (8 s), might outlast function and lease."""


class Guard(Protocol):
    """What leaves a failing client alone."""

    def guard[T](self, provider: str, client_id: str, call: Callable[[], T]) -> T:
        """Call, or raise a CircuitOpenError."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """What is measured of an attempt; times in milliseconds, ``since_end`` from the end of the session."""

    signing: float
    posting: float
    since_end: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the message: done with, ``again`` in so many seconds, or ``postponed`` by a fault of ours.

    ``again`` of one that is postponed says for how long it has been overdue, if that is known. ``outcome`` is the delivery's, if
    it has got one now; ``attempted`` what was measured, if there was an attempt.
    """

    again: int | None = None
    postponed: bool = False
    outcome: Outcome | None = None
    attempted: Attempted | None = None


@dataclass(frozen=True, slots=True)
class Delivering:
    """Attempts deliveries. ``provider`` and ``client`` may be caches; ``now`` is in seconds since the epoch."""

    provider: Callable[[str], Provider]
    client: Callable[[tuple[str, str]], Client]
    deliveries: Deliveries
    newer_logins: NewerLogins
    signer: Signer
    egress: Poster
    circuits: Guard
    rng: Random = field(default_factory=Random)
    now: Callable[[], float] = time.time

    def attempt(self, message: DeliveryMessage) -> Verdict:
        """Attempt a delivery if one is due; whatever comes of it is recorded. Faults of ours spend no attempt."""
        post_until = self.now() + POST_WITHIN
        try:
            begun = self.deliveries.begin(message, self._milliseconds())
        except OurFault as fault:
            return _postponed(message, fault)
        match begun:
            case Settled():
                return Verdict()
            case Later(until):
                return Verdict(again=max(1, -(-(until - self._milliseconds()) // 1000)))
        try:
            return self._carry_out(begun, post_until)
        except OurFault as fault:
            return self._give_way(begun, message, fault)

    def _give_way(self, begun: Begun, message: DeliveryMessage, fault: OurFault) -> Verdict:
        """Give the lease back; a fault that has lasted as long as any delivery is tried is its outcome, to be seen."""
        try:
            if self.now() - begun.record.created_at / 1000 >= DEADLINE_MAX:
                return self._settle(begun, Outcome(Status.UNDELIVERABLE, fault.code))
            self.deliveries.release(begun)
        except StorageUnavailable:
            logger.warning("delivery.lease_kept", logout_id=message.logout_id, client_id=message.client_id)
        overdue = self.now() - (begun.record.next_attempt_at or begun.record.created_at) / 1000
        return _postponed(message, fault, again=round(overdue))

    def _carry_out(self, begun: Begun, post_until: float) -> Verdict:
        record = begun.record
        try:
            provider = self.provider(record.provider)
            client = self.client((record.provider, record.client_id))
        except NotFoundError:
            return self._settle(begun, Outcome(Status.UNDELIVERABLE, "client_not_registered"))
        if client.paused:
            return self._wait(begun, client, "client_paused")
        try:
            claims = self._claims(provider, client, record)
        except _NotToBeSentError as reason:
            return self._settle(begun, reason.outcome)
        attempt = Attempt(provider, client, claims, self.signer, self.egress, is_too_late=lambda: self.now() > post_until)
        try:
            self.circuits.guard(record.provider, record.client_id, attempt.make)
        except FailingError:
            pass  # the attempt tells
        except CircuitOpenError:
            return self._wait(begun, client, "circuit_open")

        now = self.now()
        outcome = outcomes.decide(
            attempt.result,
            attempts=record.attempts + 1,
            last_status_code=record.last_status_code,
            age=now - record.created_at / 1000,
            deadline=client.give_up_after,
            retry_after=outcomes.parse_retry_after(attempt.retry_after, now),
            rng=self.rng,
        )
        attempted = Attempted(attempt.signing, attempt.posting, round(now * 1000) - record.ended_at)
        self._log(record, outcome, attempted, attempt)
        return self._settle(begun, outcome, attempt.answered, attempted)

    def _claims(self, provider: Provider, client: Client, record: DeliveryRecord) -> Mapping[str, Any]:
        """Return the claims of this attempt's token.

        Raises:
            _NotToBeSentError: there is nothing to be sent, or nobody to send it to.

        """
        if client.backchannel_logout_uri is None:
            raise _NotToBeSentError(Outcome(Status.SUPPRESSED, "no_backchannel_logout_uri"))
        try:
            claims = logout_token.claims(
                client,
                issuer=provider.issuer,
                sub=record.client_sub or record.sub,
                sid=record.sid,
                jti=str(uuid.uuid4()),
                now=int(self.now()),
            )
        except logout_token.UnaddressableError as error:
            raise _NotToBeSentError(Outcome(Status.UNADDRESSABLE, "sid_unknown")) from error
        superseded = self.newer_logins.supersede(provider, client, record, claims.get("sid"), self._milliseconds())
        if superseded is not None:
            raise _NotToBeSentError(superseded)
        return claims

    def _wait(self, begun: Begun, client: Client, code: str) -> Verdict:
        """Let a delivery wait without an attempt; those that have waited long wait longer, so as not to crowd the queue."""
        age = self.now() - begun.record.created_at / 1000
        if age >= client.give_up_after:
            return self._settle(begun, Outcome(Status.UNDELIVERABLE, code))
        delay = round(RECOVERY + self.rng.uniform(0, min(RECOVERY + age, WAIT_MAX)))
        return self._settle(begun, Outcome(begun.record.status, code, delay))

    def _settle(
        self,
        begun: Begun,
        outcome: Outcome,
        answered: Answered | None = None,
        attempted: Attempted | None = None,
    ) -> Verdict:
        if not self.deliveries.settle(begun, outcome, self._milliseconds(), answered):
            logger.warning("delivery.lease_lost", logout_id=begun.record.logout_id, client_id=begun.record.client_id)
            return Verdict(again=_LOST, attempted=attempted)
        if attempted is None:
            logger.info(
                "delivery.settled",
                logout_id=begun.record.logout_id,
                client_id=begun.record.client_id,
                status=outcome.status,
                code=outcome.code,
            )
        return Verdict(again=outcome.delay, outcome=outcome, attempted=attempted)

    def _log(self, record: DeliveryRecord, outcome: Outcome, attempted: Attempted, attempt: Attempt) -> None:
        answer = attempt.answer
        logger.info(
            "delivery.attempted",
            provider=record.provider,
            logout_id=record.logout_id,
            client_id=record.client_id,
            sid_hash=short_hash(record.sid),
            attempt=record.attempts + 1,
            status=outcome.status,
            code=outcome.code,
            status_code=answer.status if answer else None,
            address=attempt.address,
            detail=attempt.detail,
            kid=attempt.kid,
            signing_ms=round(attempted.signing, 1),
            post_ms=round(attempted.posting, 1),
            since_end_ms=attempted.since_end,
            next_delay_s=outcome.delay,
        )

    def _milliseconds(self) -> int:
        return round(self.now() * 1000)


class _NotToBeSentError(Exception):
    """The delivery has its outcome without an attempt."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


def _postponed(message: DeliveryMessage, fault: OurFault, again: int | None = None) -> Verdict:
    logger.warning(
        "delivery.postponed",
        logout_id=message.logout_id,
        client_id=message.client_id,
        code=fault.code,
        detail=str(fault),
    )
    return Verdict(again, postponed=True)
