"""DeliveriesTable: what became of every logout, one record for it and one for each of its deliveries.

| pk | sk | |
|---|---|---|
| ``<logout_id>`` | ``LOGOUT`` | what ended, when and why |
| ``<logout_id>`` | ``FANOUT#<fanout_id>`` | how far a run of the fan-out has come |
| ``<logout_id>`` | ``RP#<client_id>#<sid>`` | a delivery; an empty ``sid`` for the whole subject |

A token of the provider's that is passed on may come before its delivery is recorded. Until then the item has no ``status``.
``passed_on_until``: the client has accepted a token of the provider's about an end at that time.

Two indexes, for reports only: ``by_client`` finds deliveries by client and status, ``logouts_by_time`` what somebody asked for.
"""

from dataclasses import dataclass, field
from typing import Any

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection
from pynamodb.models import Model

from backchannel.aws.dynamodb import key, optional_int, part
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.reasons import Reason

RETENTION = 90 * 86_400
"""Seconds that a logout and its deliveries can be looked up."""

PASS_ON_RESERVE = 10_000
"""Milliseconds before its ``exp`` from which a token of the provider's is not sent any more."""

LOGOUT = "LOGOUT"
REPORTED = [
    *(
        "provider",
        "issuer",
        "client_id",
        "sid",
        "sub",
        "client_sub",
        "status",
        "attempts",
        "ended_at",
        "created_at",
        "updated_at",
    ),
    *("last_code", "last_status_code", "next_attempt_at", "error", "error_description"),
]
"""What the index shows beside its keys."""

PENDING_STATUSES = [str(status) for status in PENDING]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a logout's fan-out, or of what follows from it; ``run_id`` lets it recognise its own work after a crash.

    ``whole_session``: a provider session is over, not a client's part of it, nor a subject's sessions. ``also`` is that of the
    delivery that this run replaces.
    """

    provider: str
    issuer: str
    logout_id: str
    run_id: str
    ended_at: int
    reason: Reason | None = None
    whole_session: bool = False
    also: frozenset[Reason] = frozenset()


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """One logout token for one client: for one ``sid``, or with ``sid`` None for the whole subject.

    ``sub`` is the provider's, None if only the session is known, ``client_sub`` the one that the client knows where that differs.
    ``started_at`` is the start of the RP session behind ``sid``, None if it is not known.
    """

    client_id: str
    sid: str | None
    sub: str | None
    client_sub: str | None = None
    status: Status = Status.QUEUED
    started_at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """What an attempt got back: the status code (None without an answer) and what the RP said about it (section 2.8)."""

    status_code: int | None = None
    error: str | None = None
    error_description: str | None = None


@dataclass(frozen=True, slots=True)
class PassedOnToken:
    """A logout token of the provider's that its client is sent as it is; ``expires_at`` is None if it has no ``exp``.

    ``ended_at`` is when that ended which the token is about: later than the end of its delivery, if it came for a later login.
    """

    token: str = field(repr=False)
    expires_at: int | None
    ended_at: int

    @property
    def usable_until(self) -> int | None:
        """Until when it may be sent: before it runs out, it has to arrive."""
        return None if self.expires_at is None else self.expires_at - PASS_ON_RESERVE


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery and what became of it; times in milliseconds since the epoch.

    ``attempts`` counts POSTs, ``last_code`` is the stable code of the last outcome. ``error`` is what the RP said, if anything.
    ``whole_session`` is that of its Run. While the delivery gives way to newer logins, ``cursor`` is how far it has replaced
    itself by deliveries for older sessions. ``also`` are the reasons of other logouts that ended the same logins.
    ``history`` has the last attempts, those before a redelivery, too. ``requested_by`` has sent it again last, ``requested_at``.
    """

    provider: str
    logout_id: str
    client_id: str
    sid: str | None
    sub: str | None
    client_sub: str | None
    status: Status
    attempts: int
    issuer: str
    ended_at: int
    created_at: int
    updated_at: int
    last_code: str | None = None
    last_status_code: int | None = None
    next_attempt_at: int | None = None
    error: str | None = None
    error_description: str | None = None
    reason: Reason | None = None
    whole_session: bool = False
    cursor: str | None = None
    also: frozenset[Reason] = frozenset()
    passed_on: PassedOnToken | None = None
    history: str | None = None
    requested_by: str | None = None
    requested_at: int | None = None

    @property
    def reasons(self) -> frozenset[Reason]:
        """Why the logins ended that this delivery is about; for none that was given, a logout."""
        return self.also | {self.reason or Reason.LOGOUT}

    @property
    def message(self) -> DeliveryMessage:
        """What queues this delivery."""
        return DeliveryMessage(self.provider, self.logout_id, self.client_id, self.sid)


class _ByClient(GlobalSecondaryIndex["Item"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by_client"
        projection = IncludeProjection(REPORTED)

    client = UnicodeAttribute(hash_key=True)
    status_changed = UnicodeAttribute(range_key=True)


class _LogoutsByTime(GlobalSecondaryIndex["Item"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "logouts_by_time"
        projection = KeysOnlyProjection()

    listed = UnicodeAttribute(hash_key=True)
    listed_at = UnicodeAttribute(range_key=True)


class Item(Model):
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    provider = UnicodeAttribute(null=True)
    issuer = UnicodeAttribute(null=True)
    client_id = UnicodeAttribute(null=True)
    sid = UnicodeAttribute(null=True)
    sub = UnicodeAttribute(null=True)
    client_sub = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    note = UnicodeAttribute(null=True)
    mass_logout = UnicodeAttribute(null=True)
    source_event_id = UnicodeAttribute(null=True)
    status = UnicodeAttribute(null=True)
    attempts = NumberAttribute(null=True)
    ended_at = NumberAttribute(null=True)
    created_at = NumberAttribute(null=True)
    updated_at = NumberAttribute(null=True)
    fanned_out_at = NumberAttribute(null=True)
    matched = NumberAttribute(null=True)
    whole_session = BooleanAttribute(null=True)
    runs = UnicodeSetAttribute(null=True)
    also = UnicodeSetAttribute(null=True)
    cursor = UnicodeAttribute(null=True)
    last_code = UnicodeAttribute(null=True)
    last_status_code = NumberAttribute(null=True)
    next_attempt_at = NumberAttribute(null=True)
    error = UnicodeAttribute(null=True)
    error_description = UnicodeAttribute(null=True)
    history = UnicodeAttribute(null=True)
    source = UnicodeAttribute(null=True)
    requested_by = UnicodeAttribute(null=True)
    requested_at = NumberAttribute(null=True)
    leased_until = NumberAttribute(null=True)
    token = UnicodeAttribute(null=True)
    token_expires_at = NumberAttribute(null=True)
    token_ended_at = NumberAttribute(null=True)
    passed_on_until = NumberAttribute(null=True)
    lease = UnicodeAttribute(null=True)
    client = UnicodeAttribute(null=True)
    status_changed = UnicodeAttribute(null=True)
    listed = UnicodeAttribute(null=True)
    listed_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)
    by_client = _ByClient()
    logouts_by_time = _LogoutsByTime()


def delivery_key(client_id: str, sid: str | None) -> str:
    return key("RP", part(client_id), part(sid or ""))


def client_key(issuer: str, client_id: str) -> str:
    """Return the index's hash key."""
    return key(issuer, part(client_id))


def status_attributes(issuer: str, client_id: str, status: Status, now: int) -> dict[str, Any]:
    """Return the status with the attributes that the index is built on."""
    return {
        "status": str(status),
        "client": client_key(issuer, client_id),
        "status_changed": status_changed(status, now),
    }


def status_changed(status: Status, at: int) -> str:
    """Return the index's range key: times sort within a status."""
    return key(status, f"{at:013d}")


FOREVER = 9_999_999_999_999
"""A time in milliseconds later than any that a delivery can have."""


def status_range(status: Status | None, since: int = 0, until: int = FOREVER) -> tuple[str, str]:
    """Return the least and the greatest range key of the index that a status, or any, can have in a time."""
    if status is None:
        return "!", "~"
    return status_changed(status, since), status_changed(status, until)


def expiry(now: int) -> int:
    return now // 1000 + RETENTION


def delivery_record(item: Item) -> DeliveryRecord:
    return DeliveryRecord(
        provider=item.provider,
        logout_id=item.pk,
        client_id=item.client_id,
        sid=item.sid,
        sub=item.sub,
        client_sub=item.client_sub,
        status=Status(item.status),
        attempts=int(item.attempts),
        issuer=item.issuer,
        ended_at=int(item.ended_at),
        created_at=int(item.created_at),
        updated_at=int(item.updated_at),
        last_code=item.last_code,
        last_status_code=optional_int(item.last_status_code),
        next_attempt_at=optional_int(item.next_attempt_at),
        error=item.error,
        error_description=item.error_description,
        reason=Reason.read(item.reason),
        whole_session=bool(item.whole_session),
        cursor=item.cursor,
        also=frozenset(reason for word in item.also or () if (reason := Reason.read(word))),
        passed_on=_passed_on(item),
        history=item.history,
        requested_by=item.requested_by,
        requested_at=optional_int(item.requested_at),
    )


def _passed_on(item: Item) -> PassedOnToken | None:
    if item.token is None:
        return None
    return PassedOnToken(item.token, optional_int(item.token_expires_at), int(item.token_ended_at or 0))
