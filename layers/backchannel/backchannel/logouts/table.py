"""The logouts of DeliveriesTable: what ended, and how far its fan-out has come."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backchannel.aws.dynamodb import assignments, bind, key, optional_int, read, storage, update_if
from backchannel.deliveries.records import LOGOUT, Item, expiry
from backchannel.errors import NotFoundError
from backchannel.sessions.messages import EndMessage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


SHARDS = 8
"""Keys of the list over which an issuer's logouts are spread: one key takes a thousand writes a second."""


@dataclass(frozen=True, slots=True)
class Logout:
    """One session event being carried out; times in milliseconds since the epoch.

    ``matched`` is how many RP sessions the fan-out has found, None until it is through. ``note`` is what the operator said.
    Who asked for it last is a ``source`` by its webhook, or the operator ``requested_by``.
    ``mass_logout`` is the mass logout that it is a part of.
    """

    logout_id: str
    provider: str
    issuer: str
    ended_at: int
    created_at: int
    sid: str | None = None
    sub: str | None = None
    client_id: str | None = None
    reason: str | None = None
    source_event_id: str | None = None
    fanned_out_at: int | None = None
    matched: int | None = None
    note: str | None = None
    source: str | None = None
    requested_by: str | None = None
    mass_logout: str | None = None

    def is_done(self, message: EndMessage) -> bool:
        """Whether the end that a message is about, or a later one of the same logout, has been fanned out."""
        return self.fanned_out_at is not None and self.ended_at >= message.ended_at


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stopped, and how many RP sessions it had found until then."""

    cursor: str | None = None
    matched: int = 0


class Logouts:
    """The operations on logouts."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def open(self, message: EndMessage, issuer: str, now: int, *, note: str | None = None) -> None:
        """Record a logout. If a later end of the same session is recorded already, or this very one, nothing changes."""
        items, item = self._items, self._items(message.logout_id, LOGOUT)
        values = assignments(
            items,
            provider=message.provider,
            issuer=issuer,
            sid=message.sid,
            sub=message.sub,
            client_id=message.client_id,
            reason=message.reason,
            note=note,
            mass_logout=message.mass_logout,
            source_event_id=message.source_event_id,
            source=message.source,
            requested_by=message.requested_by,
            ended_at=message.ended_at,
            expires_at=expiry(now),
            fanned_out_at=None,
            matched=None,
            **(_listed(message, issuer) if message.is_listed else {}),
        )
        is_new = items.pk.does_not_exist() | (items.ended_at < message.ended_at)
        update_if(item, is_new, [*values, items.created_at.set(items.created_at | now)])

    def find(self, logout_id: str) -> Logout | None:
        """Return a logout, None if there is none of this id."""
        item = read(self._items, logout_id, LOGOUT)
        return None if item is None else logout_of(item)

    def close(self, message: EndMessage, matched: int, now: int) -> None:
        """Note that every RP session has its delivery, and how many there were; a later end's run says so for itself."""
        is_latest = self._items.ended_at <= message.ended_at
        update_if(self._items(message.logout_id, LOGOUT), is_latest, assignments(self._items, fanned_out_at=now, matched=matched))

    def match_late(self, logout_id: str, matched: int) -> None:
        """Note that a logout which had met nobody has met somebody since."""
        update_if(self._items(logout_id, LOGOUT), self._items.matched == 0, assignments(self._items, matched=matched))

    def get(self, issuer: str, logout_id: str) -> Logout:
        """Return a logout of this issuer.

        Raises:
            NotFoundError: it has none of this id.

        """
        found = self.find(logout_id)
        if found is None or found.issuer != issuer:
            raise NotFoundError.of("logout", logout_id)
        return found

    def progress(self, logout_id: str, fanout_id: str) -> Progress:
        """Return how far a run has come."""
        item = read(self._items, logout_id, key("FANOUT", fanout_id))
        return Progress() if item is None else Progress(item.cursor, int(item.matched or 0))

    def save_progress(self, logout_id: str, fanout_id: str, progress: Progress, now: int) -> None:
        """Keep how far a run has come."""
        item = self._items(logout_id, key("FANOUT", fanout_id))
        with storage():
            item.update(assignments(self._items, cursor=progress.cursor, matched=progress.matched, expires_at=expiry(now)))


def _listed(message: EndMessage, issuer: str) -> dict[str, str]:
    """Return the attributes that put a logout into the list: its place there is its time, and its id."""
    shard = zlib.crc32(message.logout_id.encode()) % SHARDS
    return {"listed": key(issuer, str(shard)), "listed_at": f"{message.ended_at:013d}#{message.logout_id}"}


def logout_of(item: Item) -> Logout:
    """Return the logout that an item holds."""
    return Logout(
        logout_id=item.pk,
        provider=item.provider,
        issuer=item.issuer,
        ended_at=int(item.ended_at),
        created_at=int(item.created_at),
        sid=item.sid,
        sub=item.sub,
        client_id=item.client_id,
        reason=item.reason,
        source_event_id=item.source_event_id,
        fanned_out_at=optional_int(item.fanned_out_at),
        matched=optional_int(item.matched),
        note=item.note,
        source=item.source,
        requested_by=item.requested_by,
        mass_logout=item.mass_logout,
    )
