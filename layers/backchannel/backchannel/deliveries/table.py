"""The deliveries of DeliveriesTable: recorded, checked out for an attempt, settled, reopened, listed."""

from __future__ import annotations

import functools
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from backchannel.aws.dynamodb import Page, assignments, bind, key, page, partition_page, read, storage, update_if
from backchannel.deliveries.history import PastAttempt, with_attempt
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import PENDING, Outcome, Status
from backchannel.deliveries.records import (
    PENDING_STATUSES,
    AttemptReport,
    DeliveryRecord,
    Item,
    PassedOnToken,
    PlannedDelivery,
    Run,
    client_key,
    delivery_key,
    delivery_record,
    expiry,
    status_attributes,
)
from backchannel.reasons import Reason, is_emergency
from backchannel.sessions.implied_starts import SAME_END

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE = 45_000
"""How long an attempt has the delivery for itself: as long as its function may run (``Timeout`` in template.yaml)."""

STRANDED = 300_000
"""A pending delivery that was due longer ago than this, and that nobody attempts, may have lost its message."""

_SAME_SECOND = 1_000
"""Milliseconds: tokens say when something ended in seconds; one that comes again may be read as a little later."""


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """The delivery has a final status, or does not exist any more."""

    record: DeliveryRecord | None = None


@dataclass(frozen=True, slots=True)
class NotDue:
    """The next attempt is due, or another's is surely over, at ``until`` (milliseconds since the epoch)."""

    until: int


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """The attempt is ours until the lease runs out."""

    record: DeliveryRecord
    lease: str


class Deliveries:
    """The operations on deliveries."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def record(self, run: Run, planned: PlannedDelivery, now: int) -> bool:
        """Record a delivery for a run that has claimed RP sessions; True if it has to be queued.

        If this run is not yet on the record, or the ``sid`` stands for another RP session by now, reset the delivery to queued
        with no attempts: nobody else will tell that RP session, and an attempt that is under way loses its lease. Also reset a
        superseded one, since it has to look for older sessions again. Otherwise queue it again only while it is untouched.
        """
        name = run.run_id if planned.started_at is None else key(run.run_id, str(planned.started_at))
        another_run = ~self._items.runs.contains(name)
        superseded = self._items.status == str(Status.SUPERSEDED)
        is_told = (self._items.status == str(Status.ACCEPTED)) & (
            self._items.passed_on_until >= max(run.ended_at, planned.started_at or 0)
        )
        return self._record(run, planned, now, (another_run | superseded) & ~is_told, {name, run.run_id})

    def record_kept(self, run: Run, planned: PlannedDelivery, now: int, *, is_told_by_others: bool) -> bool:
        """Record a delivery if a token is kept for it that nobody else sends; True if it has to be queued.

        One that was final before the token came is reset. ``is_told_by_others``: another logout tells what is not recorded here.
        """
        found = read(self._items, run.logout_id, delivery_key(planned.client_id, planned.sid))
        if found is None or found.token is None:
            return False
        if found.status is None:
            is_kept = self._items.token.exists() & self._items.status.does_not_exist()
            return not is_told_by_others and self._record(run, planned, now, is_kept, {run.run_id})
        return _is_untouched(found) or self.reopen(delivery_record(found), now, even_accepted=True)

    def _record(self, run: Run, planned: PlannedDelivery, now: int, condition: Condition, runs: set[str]) -> bool:
        item = self._items(run.logout_id, delivery_key(planned.client_id, planned.sid))
        actions = self._assign(
            **_untouched(run.issuer, planned.client_id, planned.status, now),
            provider=run.provider,
            issuer=run.issuer,
            client_id=planned.client_id,
            sid=planned.sid,
            sub=planned.sub,
            client_sub=planned.client_sub,
            reason=run.reason,
            also={*map(str, run.also)} or None,
            whole_session=run.whole_session or None,
            ended_at=run.ended_at,
            expires_at=expiry(now),
            leased_until=None,
            lease=None,
        )
        if update_if(item, condition, [*actions, self._items.runs.add(runs)]):
            return planned.status is Status.QUEUED
        return self.is_untouched(run.logout_id, planned.client_id, planned.sid)

    def record_first(self, run: Run, planned: PlannedDelivery, now: int) -> bool:
        """Record a delivery unless this logout has it already; True if it has to be queued."""
        found = read(self._items, run.logout_id, delivery_key(planned.client_id, planned.sid))
        return self.record(run, planned, now) if found is None or found.status is None else _is_untouched(found)

    def pass_on(
        self, logout_id: str, client_id: str, sid: str | None, passed: PassedOnToken, *, is_anew: bool, keep_until: int
    ) -> bool:
        """Keep a token of the provider's for a delivery, which may still be to be recorded; it is gone once that is final.

        True if nobody is about to send it: the delivery is not recorded, or was final. Nothing changes if the client has accepted
        this token, or one of ours, unless it has a login that nobody has told it of (``is_anew``), and that was about an earlier
        end. ``keep_until`` in milliseconds, for a token whose delivery never comes.
        """
        items, item = self._items, self._items(logout_id, delivery_key(client_id, sid))
        earlier = passed.ended_at - _SAME_SECOND
        is_untold = items.status.does_not_exist() | (items.status != str(Status.ACCEPTED)) | (items.passed_on_until < earlier)
        if is_anew:
            is_untold |= items.ended_at < earlier
        actions = self._assign(token=passed.token, token_expires_at=passed.expires_at, token_ended_at=passed.ended_at)
        actions.append(items.expires_at.set(items.expires_at | keep_until // 1000))
        return update_if(item, is_untold, actions) and item.status not in PENDING_STATUSES

    def is_untouched(self, logout_id: str, client_id: str, sid: str | None) -> bool:
        """Whether the delivery exists and nothing has come of it: it may never have been queued."""
        return _is_untouched(read(self._items, logout_id, delivery_key(client_id, sid)))

    def check_out(self, message: DeliveryMessage, now: int) -> CheckedOut | NotDue | NothingToDo:
        """Take the lease of an attempt, if one is due."""
        lease = str(uuid.uuid4())
        model, item = self._items, self._items(message.logout_id, delivery_key(message.client_id, message.sid))
        pending = model.status.is_in(*PENDING_STATUSES)
        due = model.next_attempt_at.does_not_exist() | (model.next_attempt_at <= now)
        if update_if(item, pending & due & self._is_free(now), self._assign(leased_until=now + LEASE, lease=lease)):
            return CheckedOut(delivery_record(item), lease)
        found = read(self._items, item.pk, item.sk)
        if found is None or found.status is None:
            return NothingToDo()
        if found.status not in PENDING_STATUSES:
            return NothingToDo(delivery_record(found))
        return NotDue(int(max(found.next_attempt_at or 0, found.leased_until or 0)))

    def settle(
        self,
        delivery: CheckedOut,
        outcome: Outcome,
        now: int,
        report: AttemptReport | None = None,
        past: PastAttempt | None = None,
    ) -> bool:
        """Record an outcome and give the lease back; False if somebody else has the lease by now, or if there is more to send.

        With ``report``, an attempt was made, of which ``past`` is kept; without, the delivery was settled without one.
        """
        record = delivery.record
        actions = self._assign(
            **status_attributes(record.issuer, record.client_id, outcome.status, now),
            updated_at=now,
            last_code=outcome.code,
            next_attempt_at=None if outcome.delay is None else now + outcome.delay,
            cursor=outcome.cursor,
            leased_until=None,
            lease=None,
        )
        if outcome.status not in PENDING:
            actions += self._assign(token=None, token_expires_at=None, token_ended_at=None)
        if outcome.status is Status.ACCEPTED and record.passed_on is not None:
            actions += self._assign(passed_on_until=record.passed_on.ended_at)
        if report is not None:
            actions += self._assign(
                attempts=record.attempts + 1,
                last_status_code=report.status_code,
                error=report.error,
                error_description=report.error_description,
            )
        elif outcome.detail is not None:
            actions += self._assign(error=None, error_description=outcome.detail)
        if past is not None:  # what was read with the lease is current: nobody else has written an attempt since
            actions += self._assign(history=with_attempt(record.history, past))
        condition = self._items.lease == delivery.lease
        if outcome.status in {Status.SUPPRESSED, Status.SUPERSEDED}:
            condition &= self._has_no_other_reasons(record)
        if outcome.status not in PENDING:
            condition &= self._has_no_other_token(record, outcome.status)
        return self._update(record, condition, actions)

    def release(self, delivery: CheckedOut) -> None:
        """Give the lease back with nothing done: no attempt was made."""
        self._update(delivery.record, self._items.lease == delivery.lease, self._assign(leased_until=None, lease=None))

    def reopen(self, record: DeliveryRecord, now: int, *, even_accepted: bool = False, requested_by: str | None = None) -> bool:
        """Reset a delivery that is final or stranded; False if it is pending with a message of its own, or accepted.

        True, too, if an earlier try of this very call did it: its message is not queued yet. ``requested_by`` is the operator who
        sends it again.
        """
        model = self._items
        excluded = PENDING_STATUSES if even_accepted else [*PENDING_STATUSES, str(Status.ACCEPTED)]
        stranded = model.status.is_in(*PENDING_STATUSES) & self._is_overdue(now) & self._is_free(now)
        untouched = _untouched(record.issuer, record.client_id, Status.QUEUED, now)
        actions = self._assign(**untouched, **_requested(requested_by, now))
        if self._update(record, ~model.status.is_in(*excluded) | stranded, actions):
            return True
        found = read(self._items, record.logout_id, delivery_key(record.client_id, record.sid))
        return _is_untouched(found) and int(found.updated_at) == now

    def add_reason(self, record: DeliveryRecord, reason: Reason, ended_at: int) -> None:
        """Note that another logout ended the same logins: a delivery that is not accepted is about that one, too.

        In an emergency it is about whatever began until then.
        """
        actions: list[Action] = [self._items.also.add({str(reason), *map(str, record.reasons)})]
        if is_emergency(reason):
            actions += self._assign(reason=reason, ended_at=max(ended_at, record.ended_at))
        self._update(record, self._items.status != str(Status.ACCEPTED), actions)

    def reopen_suppressed(self, record: DeliveryRecord, now: int) -> bool:
        """Reset a delivery that its client did not want for the reasons known before; True if it has to be queued."""
        unwanted = (self._items.status == str(Status.SUPPRESSED)) & self._items.last_code.is_in(*map(str, Reason))
        actions = self._assign(**_untouched(record.issuer, record.client_id, Status.QUEUED, now))
        return self._update(record, unwanted, actions) or self.is_untouched(record.logout_id, record.client_id, record.sid)

    def hasten(self, record: DeliveryRecord, now: int, *, requested_by: str | None = None) -> bool:
        """Make the next attempt of a pending delivery due now; False if it is due, final, or being attempted.

        One that is overdue has to be queued, too: it may have lost its message. Who asked before is kept if nobody asks now.
        """
        waits = (self._items.next_attempt_at > now) | self._is_overdue(now)
        pending = self._items.status.is_in(*PENDING_STATUSES) & waits & self._is_free(now)
        asked = {} if requested_by is None else _requested(requested_by, now)
        actions = self._assign(next_attempt_at=None, updated_at=now, **asked)
        return self._update(record, pending, actions)

    def of_session(self, logout_id: str, client_id: str, sid: str | None) -> list[DeliveryRecord]:
        """Return a logout's deliveries for one RP session: by its ``sid``, and for the whole subject."""
        keys = dict.fromkeys([delivery_key(client_id, sid), delivery_key(client_id, None)])
        return _records(item for sk in keys if (item := read(self._items, logout_id, sk)) is not None)

    def count(self, logout_id: str) -> Counter[Status]:
        """Return how many deliveries of a logout have which status."""
        with storage():
            found = self._items.query(
                logout_id,
                self._items.sk.startswith(key("RP", "")),
                consistent_read=True,
                attributes_to_get=["pk", "sk", "status"],
            )
            return Counter(Status(item.status) for item in found if item.status is not None)

    def of_logout(self, logout_id: str, after: str | None, limit: int) -> Page[DeliveryRecord]:
        """Return a page of a logout's deliveries."""
        keys = self._items.sk.startswith(key("RP", ""))
        found = partition_page(self._items, logout_id, keys, after=after, limit=limit)
        return Page(_records(found.items), found.cursor)

    def of_client(
        self, issuer: str, client_id: str, within: tuple[str, str], *, after: dict[str, str] | None, limit: int
    ) -> Page[DeliveryRecord, dict[str, str]]:
        """Return a page of a client's deliveries by status and time; it may lag by seconds."""
        client = client_key(issuer, client_id)
        query = functools.partial(self._items.by_client.query, client, self._items.status_changed.between(*within))
        found = page(query, after=None if after is None else {**after, "client": client}, limit=limit)
        cursor = None if found.cursor is None else {name: value for name, value in found.cursor.items() if name != "client"}
        return Page([delivery_record(item) for item in found.items], cursor)

    def _is_free(self, now: int) -> Condition:
        """Return the condition that nobody attempts a delivery."""
        free: Condition = self._items.leased_until.does_not_exist() | (self._items.leased_until <= now)
        return free

    def _is_overdue(self, now: int) -> Condition:
        """Return the condition that a pending delivery was due so long ago that its message may be lost."""
        due, at = self._items.next_attempt_at, self._items.updated_at
        overdue: Condition = (due < now - STRANDED) | (due.does_not_exist() & (at < now - STRANDED))
        return overdue

    def _has_no_other_reasons(self, record: DeliveryRecord) -> Condition:
        """Return the condition that nobody has added a reason since a delivery was read."""
        same: Condition = self._items.also == {*map(str, record.also)} if record.also else self._items.also.does_not_exist()
        return same

    def _has_no_other_token(self, record: DeliveryRecord, status: Status) -> Condition:
        """Return the condition that no token has come since a delivery was read which its client has still to be sent."""
        is_missing: Condition = self._items.token.does_not_exist()
        passed = record.passed_on
        same: Condition = is_missing if passed is None else is_missing | (self._items.token == passed.token)
        if status is not Status.ACCEPTED:
            return same
        told_until = max(record.ended_at, 0 if passed is None else passed.ended_at)
        same |= self._items.token_ended_at <= told_until + SAME_END
        return same

    def _assign(self, **values: Any) -> list[Action]:
        return assignments(self._items, **values)

    def _update(self, record: DeliveryRecord, condition: Condition, actions: list[Action]) -> bool:
        return update_if(self._items(record.logout_id, delivery_key(record.client_id, record.sid)), condition, actions)


def _records(items: Iterable[Item]) -> list[DeliveryRecord]:
    """Return the deliveries that are recorded."""
    return [delivery_record(item) for item in items if item.status is not None]


def _untouched(issuer: str, client_id: str, status: Status, now: int) -> dict[str, Any]:
    """Return the attributes of a delivery that nothing has come of yet."""
    return status_attributes(issuer, client_id, status, now) | {
        "attempts": 0,
        "created_at": now,
        "updated_at": now,
        "next_attempt_at": None,
        "last_code": None,
        "last_status_code": None,
        "error": None,
        "error_description": None,
        "cursor": None,
    }


def _requested(by: str | None, now: int) -> dict[str, Any]:
    """Return the attributes that say who sends a delivery again; None if nobody asked for it."""
    return {"requested_by": by, "requested_at": None if by is None else now}


def _is_untouched(item: Item | None) -> TypeGuard[Item]:
    return item is not None and item.status == Status.QUEUED and int(item.attempts) == 0
