"""The deliveries of DeliveriesTable: recorded, attempted under a lease, settled, begun anew, looked up."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from backchannel.aws.dynamodb import ConditionFailedError, bind, key, storage
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import (
    PENDING_STATUSES,
    DeliveryRecord,
    Item,
    PlannedDelivery,
    delivery_key,
    delivery_record,
    expiry,
    status_attributes,
)
from backchannel.sessions.events import is_whole_session
from backchannel.sessions.messages import EndMessage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE = 30_000
"""Milliseconds that an attempt has for itself: as long as its function may run."""

STRANDED = 300_000
"""Milliseconds: a pending delivery that was due longer ago than this, and that nobody attempts, may have lost its message."""


@dataclass(frozen=True, slots=True)
class Settled:
    """There is nothing to attempt: the delivery has a final status, or is not there any more."""


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: it is due, or another's attempt is surely over, at ``until`` (milliseconds since the epoch)."""

    until: int


@dataclass(frozen=True, slots=True)
class Begun:
    """The attempt is ours until the lease runs out."""

    record: DeliveryRecord
    lease: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What an attempt got back: the status code (None without an answer) and what the RP said about it."""

    status_code: int | None = None
    error: str | None = None
    error_description: str | None = None


class Deliveries:
    """The operations on deliveries."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def record(self, message: EndMessage, delivery: PlannedDelivery, now: int) -> bool:
        """Record a delivery that a run has claimed RP sessions for; True when it has to be queued.

        For a run that is not among those that it was recorded for, or for another RP session of its ``sid``, it begins anew: it
        knew nothing of these RP sessions, and nobody else may be left to queue it. An attempt that is being made then loses its
        lease. So does one that was superseded, since it has to look for older sessions again. Otherwise it is queued again as
        long as nothing has come of it.
        """
        run = message.fanout_id if delivery.started_at is None else key(message.fanout_id, str(delivery.started_at))
        item = self._items(message.logout_id, delivery_key(delivery.client_id, delivery.sid))
        actions = self._assign(
            **_begun_anew(message.provider, delivery.client_id, delivery.status, now),
            provider=message.provider,
            client_id=delivery.client_id,
            sid=delivery.sid,
            sub=delivery.sub,
            client_sub=delivery.client_sub,
            whole_session=is_whole_session(message.event) or None,
            ended_at=message.ended_at,
            expires_at=expiry(now),
            leased_until=None,
            lease=None,
        )
        another_run = ~self._items.runs.contains(run)
        superseded = self._items.status == str(Status.SUPERSEDED)
        try:
            with storage():
                item.update([*actions, self._items.runs.add({run})], condition=another_run | superseded)
        except ConditionFailedError:
            return self.is_untouched(message.logout_id, delivery.client_id, delivery.sid)
        return delivery.status is Status.QUEUED

    def is_untouched(self, logout_id: str, client_id: str, sid: str | None) -> bool:
        """Whether there is such a delivery, and nothing has come of it: it may never have been queued."""
        return _is_untouched(self._items.read(logout_id, delivery_key(client_id, sid)))

    def begin(self, message: DeliveryMessage, now: int) -> Begun | Later | Settled:
        """Take the lease of an attempt, if one is due."""
        lease = str(uuid.uuid4())
        item = self._items(message.logout_id, delivery_key(message.client_id, message.sid))
        model = self._items
        pending = model.status.is_in(*PENDING_STATUSES)
        due = model.next_attempt_at.does_not_exist() | (model.next_attempt_at <= now)
        lease_it: list[Action] = [model.leased_until.set(now + LEASE), model.lease.set(lease)]
        try:
            with storage():
                item.update(lease_it, condition=pending & due & self._is_free(now))
        except ConditionFailedError:
            found = self._items.read(item.pk, item.sk)
            if found is None or found.status not in PENDING_STATUSES:
                return Settled()
            return Later(int(max(found.next_attempt_at or 0, found.leased_until or 0)))
        return Begun(delivery_record(item), lease)

    def settle(self, begun: Begun, outcome: Outcome, now: int, answer: Answered | None = None) -> bool:
        """Record an outcome and give the lease back; False when the lease was lost to somebody else.

        With ``answer``, an attempt was made; without, the delivery was settled without one.
        """
        record = begun.record
        actions = self._assign(
            **status_attributes(record.provider, record.client_id, outcome.status, now),
            updated_at=now,
            last_code=outcome.code,
            next_attempt_at=None if outcome.delay is None else now + outcome.delay * 1000,
            cursor=outcome.cursor,
            leased_until=None,
            lease=None,
        )
        if answer is not None:
            actions += self._assign(
                attempts=record.attempts + 1,
                last_status_code=answer.status_code,
                error=answer.error,
                error_description=answer.error_description,
            )
        return self._update(record, actions, self._items.lease == begun.lease)

    def release(self, begun: Begun) -> None:
        """Give the lease back with nothing done: no attempt was made."""
        self._update(begun.record, self._assign(leased_until=None, lease=None), self._items.lease == begun.lease)

    def reopen(self, record: DeliveryRecord, now: int) -> bool:
        """Begin a delivery anew that is final or stranded; False when it is accepted, or pending with a message of its own.

        True, too, when an earlier try of this very call has done it: its message is not queued yet.
        """
        model = self._items
        final = ~model.status.is_in(*PENDING_STATUSES, str(Status.ACCEPTED))
        due = (model.next_attempt_at < now - STRANDED) | (
            model.next_attempt_at.does_not_exist() & (model.updated_at < now - STRANDED)
        )
        stranded = model.status.is_in(*PENDING_STATUSES) & due & self._is_free(now)
        actions = self._assign(**_begun_anew(record.provider, record.client_id, Status.QUEUED, now))
        if self._update(record, actions, final | stranded):
            return True
        found = self._items.read(record.logout_id, delivery_key(record.client_id, record.sid))
        return _is_untouched(found) and int(found.updated_at) == now

    def of_logout(self, logout_id: str, after: str | None, limit: int) -> tuple[list[DeliveryRecord], str | None]:
        """Return a page of a logout's deliveries, and the cursor of the next page."""
        start = None if after is None else {"pk": {"S": logout_id}, "sk": {"S": after}}
        with storage():
            found = self._items.query(
                logout_id,
                self._items.sk.startswith(key("RP", "")),
                consistent_read=True,
                limit=limit,
                page_size=limit,
                last_evaluated_key=start,
            )
            page = [delivery_record(item) for item in found]
            last = found.last_evaluated_key
        return page, None if last is None else last["sk"]["S"]

    def of_client(
        self, provider: str, client_id: str, within: tuple[str, str], *, after: dict[str, str] | None, limit: int
    ) -> tuple[list[DeliveryRecord], dict[str, str] | None]:
        """Return a page of a client's deliveries by status and time, and the cursor of the next page."""
        client = key(provider, client_id)
        start = None if after is None else {name: {"S": value} for name, value in {**after, "client": client}.items()}
        condition = self._items.status_changed.between(*within)
        with storage():
            found = self._items.by_client.query(client, condition, limit=limit, page_size=limit, last_evaluated_key=start)
            page = [delivery_record(item) for item in found]
            last = found.last_evaluated_key
        return page, None if last is None else {name: value["S"] for name, value in last.items() if name != "client"}

    def _is_free(self, now: int) -> Condition:
        """Return the condition that nobody attempts a delivery."""
        free: Condition = self._items.leased_until.does_not_exist() | (self._items.leased_until <= now)
        return free

    def _assign(self, **values: Any) -> list[Action]:
        """Return what sets attributes, or removes those that are to be None."""
        attributes = ((getattr(self._items, name), value) for name, value in values.items())
        return [attribute.remove() if value is None else attribute.set(value) for attribute, value in attributes]

    def _update(self, record: DeliveryRecord, actions: list[Action], condition: Condition) -> bool:
        item = self._items(record.logout_id, delivery_key(record.client_id, record.sid))
        try:
            with storage():
                item.update(actions, condition=condition)
        except ConditionFailedError:
            return False
        return True


def _begun_anew(provider: str, client_id: str, status: Status, now: int) -> dict[str, Any]:
    """Return the attributes of a delivery that nothing has come of yet."""
    return status_attributes(provider, client_id, status, now) | {
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


def _is_untouched(item: Item | None) -> TypeGuard[Item]:
    return item is not None and item.status == Status.QUEUED and int(item.attempts) == 0
