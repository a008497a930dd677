"""The logouts of DeliveriesTable: what ended, and how far its fan-out has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backchannel.aws.dynamodb import ConditionFailedError, bind, key, read, storage
from backchannel.deliveries.records import LOGOUT, Item, expiry, optional_int
from backchannel.errors import NotFoundError
from backchannel.sessions.messages import EndMessage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Logout:
    """One session event being carried out; times in milliseconds since the epoch."""

    logout_id: str
    provider: str
    ended_at: int
    created_at: int
    sid: str | None = None
    sub: str | None = None
    client_id: str | None = None
    reason: str | None = None
    fanned_out_at: int | None = None


class Logouts:
    """The operations on logouts."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def open(self, message: EndMessage, now: int) -> None:
        """Record a logout, unless it is recorded already."""
        item = self._items(
            message.logout_id,
            LOGOUT,
            provider=message.provider,
            sid=message.sid,
            sub=message.sub,
            client_id=message.client_id,
            reason=message.reason,
            ended_at=message.ended_at,
            created_at=now,
            expires_at=expiry(now),
        )
        try:
            with storage():
                item.save(condition=self._items.pk.does_not_exist())
        except ConditionFailedError:
            return

    def close(self, logout_id: str, now: int) -> None:
        """Note that every RP session has its delivery."""
        with storage():
            self._items(logout_id, LOGOUT).update([self._items.fanned_out_at.set(now)])

    def get(self, provider: str, logout_id: str) -> Logout:
        """Return a logout of this provider.

        Raises:
            NotFoundError: it has none of this id.

        """
        item = read(self._items, logout_id, LOGOUT)
        if item is None or item.provider != provider:
            raise NotFoundError(f"no logout {logout_id!r}")
        return Logout(
            logout_id=logout_id,
            provider=provider,
            ended_at=int(item.ended_at),
            created_at=int(item.created_at),
            sid=item.sid,
            sub=item.sub,
            client_id=item.client_id,
            reason=item.reason,
            fanned_out_at=optional_int(item.fanned_out_at),
        )

    def cursor(self, logout_id: str, fanout_id: str) -> str | None:
        """Return where a run stopped, None if it has not begun."""
        item = read(self._items, logout_id, key("FANOUT", fanout_id))
        return None if item is None else item.cursor

    def save_cursor(self, logout_id: str, fanout_id: str, cursor: str, now: int) -> None:
        """Keep where a run stopped."""
        with storage():
            self._items(logout_id, key("FANOUT", fanout_id), cursor=cursor, expires_at=expiry(now)).save()
