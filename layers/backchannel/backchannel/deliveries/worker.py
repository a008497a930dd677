"""One attempt of one delivery, from its record to its outcome."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Protocol

from backchannel.aws.clients import LONGEST_CALL
from backchannel.deliveries import attempt, outcomes
from backchannel.deliveries.addressing import ReplaceBySid, address
from backchannel.deliveries.attempt import AttemptResult, Poster, Signer, clean
from backchannel.deliveries.circuits import RECOVERY
from backchannel.deliveries.log_lines import log_attempt, log_postponed, log_settled
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.newer_logins import NewerLogins
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.passing_on import TOKEN_EXPIRED, Passing, as_addressed, attempts_since, passing, tried_since
from backchannel.deliveries.records import AttemptReport, DeliveryRecord
from backchannel.deliveries.table import LEASE, CheckedOut, Deliveries, NotDue, NothingToDo
from backchannel.deliveries.token_parts import token_parts
from backchannel.deliveries.verdicts import Done, Measured, Postponed, RetryIn, Verdict
from backchannel.deliveries.waking import CLIENT_PAUSED
from backchannel.egress.post import DEADLINE
from backchannel.errors import EncryptionKeyUnavailable, InternalFailure, NotFoundError, StorageUnavailable
from backchannel.providers.clients import DEADLINE_MAX, Client
from backchannel.providers.table import Provider
from backchannel.reasons import Reason
from backchannel.runtime.observability import logger

if TYPE_CHECKING:
    from backchannel.deliveries.encryption import Encryption

WAIT_MAX = 900_000
"""The longest that a delivery waits, on top of RECOVERY, for a circuit to close or a client to be resumed."""

SOON = 1_000
"""The least delay before the last attempt of a token that runs out."""

LEASE_LOST = 10_000
"""The delay after a lost lease: somebody else has the delivery by now, or has added something to it that is still to be sent."""

_RESERVE = 1000

POST_WITHIN = LEASE - round(DEADLINE * 1000) - 2 * LONGEST_CALL - _RESERVE
"""A POST begins this soon after its attempt, or not at all: what follows must end before function and lease do.

That is the POST and two calls to AWS, one for the circuit and one for the record.
"""


class Guard(Protocol):
    """What leaves a failing client alone."""

    def call(self, provider: str, client_id: str, send: Callable[[], AttemptResult]) -> AttemptResult | None:
        """Return what ``send`` returns, or None, without a call, while the client is left alone."""


@dataclass(frozen=True, slots=True)
class DeliveryWorker:
    """Attempts deliveries. ``provider`` and ``client`` may be caches; ``now`` is in milliseconds since the epoch.

    ``encryption`` is called for clients that want encrypted tokens alone.
    """

    provider: Callable[[str], Provider]
    current_provider: Callable[[str], Provider]
    client: Callable[[str, str], Client]
    current_client: Callable[[str, str], Client]
    deliveries: Deliveries
    newer_logins: NewerLogins
    encryption: "Callable[[], Encryption]"
    signer: Signer
    egress: Poster
    circuits: Guard
    rng: Random = field(default_factory=Random)
    now: Callable[[], int] = lambda: round(time.time() * 1000)

    def attempt(self, message: DeliveryMessage) -> Verdict:
        """Attempt a delivery if it is due, and record the outcome. Internal failures consume no attempt."""
        post_until = self.now() + POST_WITHIN
        try:
            found = self.deliveries.check_out(message, self.now())
        except InternalFailure as failure:
            return _postponed(message, failure)
        match found:
            case NothingToDo(final):
                return Done(final=final)
            case NotDue(until):
                return RetryIn(max(1000, until - self.now()))
        try:
            return self._carry_out(found, post_until)
        except InternalFailure as failure:
            return self._postpone(found, message, failure)

    def _carry_out(self, delivery: CheckedOut, post_until: int) -> Verdict:
        record = delivery.record
        configuration = self._configuration(record)
        if isinstance(configuration, Outcome):
            return self._settle(delivery, configuration)
        provider, client, passed = configuration
        if passed is not None:
            return self._pass_on(delivery, provider, client, passed, post_until)
        look = self.newer_logins.look(provider.issuer, client, record, self.now())
        named = address(
            client,
            record.reason,
            look.newer,
            has_sid=record.sid is not None,
            has_older_without_sid=look.has_older_without_sid,
            has_sub=record.sub is not None,
        )
        if isinstance(named, ReplaceBySid):
            named = self.newer_logins.replace_by_sid(provider.issuer, record, self.now())
        if isinstance(named, Outcome):
            return self._settle(delivery, named)

        try:
            parts = token_parts(
                provider,
                client,
                named,
                sub=record.client_sub or record.sub,
                sid=record.sid,
                now=self.now(),
                encryption=self.encryption,
                current_provider=self.current_provider,
            )
        except EncryptionKeyUnavailable as fault:
            return self._settle(delivery, self._wait(record, client, fault.code, clean(str(fault))))

        attempted = self.circuits.call(
            record.provider,
            record.client_id,
            lambda: attempt.send(
                client, parts, signer=self.signer, egress=self.egress, time_left=lambda: post_until - self.now()
            ),
        )
        if attempted is None:
            return self._settle(delivery, self._wait(record, client, "circuit_open"))
        return self._settle(delivery, self._decide(record, client, attempted), attempted)

    def _pass_on(self, delivery: CheckedOut, provider: Provider, client: Client, passed: Passing, post_until: int) -> Verdict:
        """Send a token of the provider's as it is. One for a session names what it names, newer logins elsewhere or not."""
        record, addressed = delivery.record, as_addressed(client, passed.token)
        about = replace(record, ended_at=max(record.ended_at, passed.ended_at))
        look = self.newer_logins.look(provider.issuer, addressed, about, self.now())
        named = address(addressed, record.reason, look.newer, has_sid=record.sid is not None, has_older_without_sid=False)
        if isinstance(named, Outcome):
            return self._settle(delivery, named)
        attempted = self.circuits.call(
            record.provider,
            record.client_id,
            lambda: attempt.pass_on(client, passed.token, egress=self.egress, time_left=lambda: post_until - self.now()),
        )
        if attempted is None:
            return self._settle(delivery, self._wait(record, client, "circuit_open", passed=passed))
        return self._settle(delivery, self._decide(record, client, attempted, passed), attempted)

    def _configuration(self, record: DeliveryRecord) -> tuple[Provider, Client, Passing | None] | Outcome:
        """Return the provider and the client as they are now, or the outcome if nothing can be sent to them.

        With them comes the token to be passed on, if one is.
        """
        try:
            provider, client = self.provider(record.provider), self.client(record.provider, record.client_id)
            if client.paused:  # it may have been resumed since it was read
                client = self.current_client(record.provider, record.client_id)
        except NotFoundError:
            return Outcome(Status.UNDELIVERABLE, "client_not_registered")
        if provider.issuer != record.issuer:
            return Outcome(Status.UNDELIVERABLE, "issuer_changed")  # another provider has the name by now
        unwanted = None if client.paused else _unwanted(record, client)
        passed = unwanted or passing(record, client, self.now())
        if isinstance(passed, Outcome):
            return passed
        if client.paused:
            return self._wait(record, client, CLIENT_PAUSED, passed=passed)
        return provider, client, passed

    def _wait(
        self, record: DeliveryRecord, client: Client, code: str, detail: str | None = None, *, passed: Passing | None = None
    ) -> Outcome:
        """Let a delivery wait without an attempt; the longer it has waited, the longer, so as not to crowd the queue.

        While its client is paused, it is not given up. The last attempt of a token that runs out is not slept through.
        """
        age = self.now() - tried_since(record, client)
        if not client.paused and age >= client.give_up_after * 1000:
            return Outcome(Status.UNDELIVERABLE, code, detail=detail)
        delay = round(RECOVERY + self.rng.uniform(0, min(RECOVERY + age, WAIT_MAX)))
        if passed is not None and passed.is_last:
            delay = min(delay, max(SOON, passed.until - self.now()))
        return Outcome(record.status, code, delay, detail=detail)

    def _decide(self, record: DeliveryRecord, client: Client, attempted: AttemptResult, passed: Passing | None = None) -> Outcome:
        ends_at, since = passed.until if passed is not None and passed.is_last else None, tried_since(record, client)
        attempts = attempts_since(record, since)
        outcome = outcomes.decide(
            attempted.result,
            attempts=attempts + 1,
            last_status_code=record.last_status_code if attempts else None,
            age=self.now() - since,
            deadline=client.give_up_after * 1000 if ends_at is None else ends_at - since,
            retry_after=outcomes.parse_retry_after(attempted.retry_after, self.now()),
            rng=self.rng,
            is_tokens_end=ends_at is not None,
        )
        return TOKEN_EXPIRED if ends_at is not None and outcome.status is Status.UNDELIVERABLE else outcome

    def _settle(self, delivery: CheckedOut, outcome: Outcome, attempted: AttemptResult | None = None) -> Verdict:
        """Record the outcome, log it, and return what becomes of the message."""
        record, now = delivery.record, self.now()
        measured = report = past = None
        if attempted is not None:
            measured = Measured(attempted.signing_ms, attempted.post_ms, now - record.ended_at)
            report, past = attempted.report, attempted.past(now)
            log_attempt(record, outcome, attempted, measured)
        if not self.deliveries.settle(delivery, outcome, now, report, past):
            logger.warning("delivery.lease_lost", logout_id=record.logout_id, client_id=record.client_id)
            self.deliveries.release(delivery)
            return RetryIn(LEASE_LOST, measured=measured)
        if attempted is None:
            log_settled(record, outcome)
        client = record.issuer, record.client_id
        if outcome.delay is None:
            return Done(outcome, measured, client, _settled(record, outcome, report, now))
        return RetryIn(outcome.delay, outcome, measured, client)

    def _postpone(self, delivery: CheckedOut, message: DeliveryMessage, failure: InternalFailure) -> Verdict:
        """Give the delivery back. A failure that has lasted as long as any delivery is tried becomes its outcome."""
        record = delivery.record
        due = record.next_attempt_at or record.updated_at  # when it was created, settled or hastened: not while it was paused
        try:
            if self.now() - due >= DEADLINE_MAX * 1000:
                return self._settle(delivery, Outcome(Status.UNDELIVERABLE, failure.code))
            self.deliveries.release(delivery)
        except StorageUnavailable:
            logger.warning("delivery.lease_kept", logout_id=message.logout_id, client_id=message.client_id)
        return _postponed(message, failure, overdue=self.now() - due)


def _settled(record: DeliveryRecord, outcome: Outcome, report: AttemptReport | None, now: int) -> DeliveryRecord:
    """Return a delivery as it is recorded now."""
    return replace(
        record,
        status=outcome.status,
        attempts=record.attempts if report is None else record.attempts + 1,
        last_code=outcome.code,
        last_status_code=record.last_status_code if report is None else report.status_code,
        updated_at=now,
    )


def _unwanted(record: DeliveryRecord, client: Client) -> Outcome | None:
    """Return what becomes of a delivery to a client that is not told of this, None if it is."""
    if client.backchannel_logout_uri is None:
        return Outcome(Status.SUPPRESSED, "no_backchannel_logout_uri")
    if not record.reasons & {*client.logout_reasons}:
        return Outcome(Status.SUPPRESSED, record.reason or Reason.LOGOUT)
    return None


def _postponed(message: DeliveryMessage, failure: InternalFailure, overdue: int | None = None) -> Postponed:
    log_postponed(message, failure)
    return Postponed(overdue)
