"""One attempt of one delivery: lease, configuration of this moment, fresh token, signature, POST, outcome."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from backchannel import logout_token, outcomes
from backchannel.attempting import Attempt, Poster, Signer
from backchannel.circuits import RECOVERY, CircuitOpenError, FailingError
from backchannel.clients import Client
from backchannel.deliveries import Answered, Begun, Deliveries, Later, Settled
from backchannel.delivery_items import DeliveryRecord
from backchannel.egress import Answer
from backchannel.errors import NotFoundError, OurFault, StorageUnavailable
from backchannel.fanout import Delivery
from backchannel.messages import DeliveryMessage, EndMessage
from backchannel.observability import logger, short_hash
from backchannel.outcomes import DEADLINE_MAX, Outcome, Status
from backchannel.providers import Provider
from backchannel.queues import Outgoing, Queue
from backchannel.sessions import Sessions

WAIT_MAX = 900
"""Seconds, on top of RECOVERY, that a delivery waits for a circuit to close or a client to be resumed."""

SUPERSEDED_RUN = "superseded"
"""The ``fanout_id`` of deliveries by ``sid`` that take the place of one by ``sub``."""

_ERROR_CHARACTERS = 200


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

    ``outcome`` is the delivery's, if it has got one now; ``attempted`` what was measured, if there was an attempt.
    """

    again: int | None = None
    postponed: bool = False
    outcome: Outcome | None = None
    attempted: Attempted | None = None


@dataclass(frozen=True, slots=True)
class Delivering:
    """Attempts deliveries. ``provider`` and ``client`` may be caches; ``now`` is in seconds since the epoch.

    ``queue`` takes deliveries that come of an attempt.
    """

    provider: Callable[[str], Provider]
    client: Callable[[tuple[str, str]], Client]
    sessions: Sessions
    deliveries: Deliveries
    signer: Signer
    egress: Poster
    circuits: Guard
    queue: Queue
    rng: Random = field(default_factory=Random)
    now: Callable[[], float] = time.time

    def attempt(self, message: DeliveryMessage) -> Verdict:
        """Attempt a delivery if one is due; whatever comes of it is recorded. Faults of ours spend no attempt."""
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
            return self._carry_out(begun)
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
        return _postponed(message, fault)

    def _carry_out(self, begun: Begun) -> Verdict:
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
        attempt = Attempt(provider, client, claims, self.signer, self.egress)
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
        return self._settle(begun, outcome, _answered(attempt.answer), attempted)

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
        if "sid" not in claims and self._is_superseded(provider, client, record):
            raise _NotToBeSentError(Outcome(Status.SUPERSEDED, "newer_session"))
        return claims

    def _wait(self, begun: Begun, client: Client, code: str) -> Verdict:
        """Let a delivery wait without an attempt; those that have waited long wait longer, so as not to crowd the queue."""
        age = self.now() - begun.record.created_at / 1000
        if age >= client.give_up_after:
            return self._settle(begun, Outcome(Status.UNDELIVERABLE, code))
        delay = round(RECOVERY + self.rng.uniform(0, min(RECOVERY + age, WAIT_MAX)))
        return self._settle(begun, Outcome(begun.record.status, code, delay))

    def _settle(
        self, begun: Begun, outcome: Outcome, answered: Answered | None = None, attempted: Attempted | None = None
    ) -> Verdict:
        if not self.deliveries.settle(begun, outcome, self._milliseconds(), answered):
            logger.warning("delivery.lease_lost", logout_id=begun.record.logout_id, client_id=begun.record.client_id)
            return Verdict(postponed=True, attempted=attempted)
        if attempted is None:
            logger.info(
                "delivery.settled",
                logout_id=begun.record.logout_id,
                client_id=begun.record.client_id,
                status=outcome.status,
                code=outcome.code,
            )
        return Verdict(again=outcome.delay, outcome=outcome, attempted=attempted)

    def _is_superseded(self, provider: Provider, client: Client, record: DeliveryRecord) -> bool:
        """Whether a token without ``sid`` would end a login that is newer than what it is about.

        Then the older sessions get a delivery by ``sid`` each, if the client takes such tokens.
        """
        now = self._milliseconds()
        found = self.sessions.of_subject_at(provider.issuer, sub=record.sub, client_id=record.client_id, now=now)
        if not any(session.started_at > record.ended_at and session.ended_by is None for session in found):
            return False
        if client.subject != "sub_only":
            run = EndMessage(
                record.provider, record.logout_id, SUPERSEDED_RUN, record.ended_at, source_event_id="", sub=record.sub
            )
            for session in found:
                is_ours = session.ended_by in {None, record.logout_id}  # None: its mark is on the way
                if not is_ours or session.started_at > record.ended_at or session.sid is None:
                    continue
                delivery = Delivery(
                    session.client_id, session.sid, session.sub, session.client_sub, started_at=session.started_at
                )
                if self.deliveries.record(run, delivery, now):
                    message = DeliveryMessage(record.provider, record.logout_id, session.client_id, session.sid)
                    self.queue.send([Outgoing(message.to_json(), (record.provider, session.client_id))])
        return True

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
            address=answer.address if answer else None,
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


def _postponed(message: DeliveryMessage, fault: OurFault) -> Verdict:
    logger.warning(
        "delivery.postponed",
        logout_id=message.logout_id,
        client_id=message.client_id,
        code=fault.code,
        detail=str(fault),
    )
    return Verdict(postponed=True)


def _answered(answer: Answer | None) -> Answered:
    """Keep what an RP may say about a failure (section 2.8), for people to read: cut, and without control characters."""
    if answer is None:
        return Answered()
    if answer.status < 400:  # noqa: PLR2004 - no failure
        return Answered(answer.status)
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = None
    said = body if isinstance(body, dict) else {}
    return Answered(answer.status, _clean(said.get("error")), _clean(said.get("error_description")))


def _clean(text: object) -> str | None:
    if not isinstance(text, str):
        return None
    return "".join(c if c.isprintable() else " " for c in text[:_ERROR_CHARACTERS]) or None
