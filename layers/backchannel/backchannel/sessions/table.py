"""SessionsTable: who is logged in where, and which sessions are over.

| pk | sk | |
|---|---|---|
| ``SID#<issuer>#<sid>`` | ``RP#<client_id>`` | an RP session, found by its provider session |
| ``SUB#<issuer>#<sub>`` | ``RP#<client_id>#<sid>`` | the same, found by its subject; without ``sid`` the only one |
| ``SID#…`` or ``SUB#…`` | ``ENDED#`` | tombstone: this session, or this subject's sessions until then, are over |
| ``SID#…`` or ``SUB#…`` | ``ENDED#<client_id>`` | the same for one client |

A start writes its items and then looks for tombstones; an end writes its tombstone and then looks for items. Both look with
strongly consistent reads, so whichever comes second sees the other. Of the two items of an RP session the first is written
first and is the one that is claimed: claiming it gives the RP session to one run of one logout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from backchannel.aws.dynamodb import Page, assignments, bind, key, partition_page, parts, storage, update_if
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEnded, SubjectSessionsEnded, is_whole_session
from backchannel.sessions.rp_sessions import RpSession, is_covered

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MILLISECONDS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Claim:
    """Which run of which logout takes care of an RP session, and when that session ended."""

    logout_id: str
    fanout_id: str
    ended_at: int


class _SessionItem(Model):
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    client_id = UnicodeAttribute(null=True)
    sub = UnicodeAttribute(null=True)
    sid = UnicodeAttribute(null=True)
    client_sub = UnicodeAttribute(null=True)
    started_at = NumberAttribute(null=True)
    session_expires_at = NumberAttribute(null=True)
    ended_at = NumberAttribute(null=True)
    ended_by = UnicodeAttribute(null=True)
    fanout_id = UnicodeAttribute(null=True)
    source_event_id = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()


class Sessions:
    """The operations on SessionsTable; ``lifetime_days`` is how long anything is remembered after it was written, or expired."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str, lifetime_days: int = 30) -> None:
        self._items = bind(_SessionItem, dynamodb, table_name)
        self._lifetime = lifetime_days * MILLISECONDS_PER_DAY

    def start(self, issuer: str, started: RpSessionStarted, now: int) -> Ended | None:
        """Store an RP session. If its end came first, return that end: it has to be carried out again.

        A start that is newer than the stored one is a new RP session; it replaces the older one with its claim.
        """
        session = RpSession(
            started.client_id,
            started.sub,
            started.started_at,
            started.sid,
            started.client_sub,
            expires_at=started.expires_at,
        )
        actions = self._set(
            max(now, session.expires_at or now),
            client_id=session.client_id,
            sub=session.sub,
            sid=session.sid,
            client_sub=session.client_sub,
            started_at=session.started_at,
            session_expires_at=session.expires_at,
            ended_at=None,
            ended_by=None,
            fanout_id=None,
        )
        for pk, sk in _item_keys(issuer, session):
            update_if(self._items(pk, sk), _absent_or_before(self._items.started_at, session.started_at), actions)
        return next((event for event in self._ends(issuer, session) if is_covered(session, event)), None)

    def end(self, issuer: str, event: Ended, now: int) -> None:
        """Write the tombstone; of two tombstones with one key, the later stays."""
        actions = self._set(now, ended_at=event.ended_at, source_event_id=event.source_event_id)
        tombstone = self._items(*_tombstone_key(issuer, event))
        update_if(tombstone, _absent_or_before(self._items.ended_at, event.ended_at), actions)

    def page(
        self, issuer: str, event: Ended, *, client_id: str | None, after: str | None, limit: int, now: int
    ) -> Page[RpSession]:
        """Return a page of the event's partition, ended RP sessions too; with ``client_id``, only that client's."""
        pk = _partition(issuer, event)
        condition: Condition
        if client_id is None:
            condition = self._items.sk.startswith(key("RP", ""))
        elif isinstance(event, SessionEnded):
            condition = self._items.sk == key("RP", client_id)
        else:
            condition = self._items.sk.startswith(key("RP", client_id, ""))
        return self._query(pk, condition, after, limit, now)

    def claim(self, issuer: str, session: RpSession, event: Ended, claim: Claim, now: int) -> RpSession | None:
        """Give an RP session to a run of a logout, and return it as it is stored.

        None if another run has it, or if it was replaced after the end. What is stored differs from ``session`` if that was read
        from the other item and a start in the same session died between its two writes; the end covers that start, too.
        """
        condition = self._items.ended_by.does_not_exist() | (self._items.fanout_id == claim.fanout_id)
        if not is_whole_session(event):
            condition &= (self._items.started_at <= event.ended_at) & (self._items.sub == session.sub)
        item = self._items(*_item_keys(issuer, session)[0])
        if not update_if(item, condition & self._items.started_at.exists(), self._claim(claim, now)):
            return None
        return _rp_session(item)

    def mark_ended(self, issuer: str, session: RpSession, claim: Claim, now: int) -> None:
        """Copy a claim to the RP session's other item, which only readers use."""
        for pk, sk in _item_keys(issuer, session)[1:]:
            update_if(self._items(pk, sk), self._items.started_at <= session.started_at, self._claim(claim, now))

    def mark_again(self, issuer: str, session: RpSession, now: int) -> None:
        """Copy another run's claim to the RP session's other item, which may not have existed when that run wrote it."""
        pk, sk = _item_keys(issuer, session)[0]
        for claimed in self._query(pk, self._items.sk == sk, None, None, now).items:
            if claimed.ended_by and claimed.fanout_id and claimed.ended_at is not None:
                claim = Claim(claimed.ended_by, claimed.fanout_id, claimed.ended_at)
                self.mark_ended(issuer, claimed, claim, now)

    def of_subject(self, issuer: str, sub: str, *, after: str | None, limit: int, now: int) -> Page[RpSession]:
        """Return a page of the subject's RP sessions, ended ones too."""
        return self._query(key("SUB", issuer, sub), self._items.sk.startswith(key("RP", "")), after, limit, now)

    def of_session(self, issuer: str, sid: str, *, after: str | None, limit: int, now: int) -> Page[RpSession]:
        """Return a page of the session's RP sessions, ended ones too."""
        return self._query(key("SID", issuer, sid), self._items.sk.startswith(key("RP", "")), after, limit, now)

    def expired(
        self, now: int, part: int, parts_in_all: int, time_is_short: Callable[[], bool]
    ) -> Iterator[tuple[str, RpSession]]:
        """Scan a part of the table for expired RP sessions that no logout has claimed; yield each with its issuer."""
        overdue = (self._items.session_expires_at <= now) & self._items.ended_by.does_not_exist()
        with storage():
            for page in self._items.scan(overdue, segment=part, total_segments=parts_in_all).page_iter:
                for item in map(self._items.from_raw_data, page["Items"]):
                    kind, issuer, _ = parts(item.pk)
                    if kind == "SID" or item.sid is None:  # of its two items, the one that is claimed
                        yield issuer, _rp_session(item)
                if time_is_short():
                    return

    def _ends(self, issuer: str, session: RpSession) -> list[Ended]:
        """Read every tombstone that may cover an RP session."""
        partitions = [pk for pk, _ in _item_keys(issuer, session)]
        keys = [(pk, key("ENDED", client)) for pk in partitions for client in ("", session.client_id)]
        with storage():
            found = {(item.pk, item.sk): item for item in self._items.batch_get(keys, consistent_read=True)}
        ends: list[Ended] = []
        for pk, sk in keys:
            if (item := found.get((pk, sk))) is None:
                continue
            client_id = None if sk == key("ENDED", "") else session.client_id
            ended_at, source_event_id = int(item.ended_at), item.source_event_id
            if pk == partitions[0] and session.sid is not None:
                ends.append(SessionEnded(session.sid, ended_at, source_event_id, client_id))
            else:
                ends.append(SubjectSessionsEnded(session.sub, ended_at, source_event_id, client_id))
        return ends

    def _query(self, pk: str, keys: Condition, after: str | None, limit: int | None, now: int) -> Page[RpSession]:
        found = partition_page(self._items, pk, keys, after=after, limit=limit)
        live = [_rp_session(item) for item in found.items if item.expires_at * 1000 > now]  # TTL deletes days later
        return Page(live, found.cursor)

    def _claim(self, claim: Claim, now: int) -> list[Action]:
        return self._set(now, ended_by=claim.logout_id, fanout_id=claim.fanout_id, ended_at=claim.ended_at)

    def _set(self, now: int, **values: str | int | None) -> list[Action]:
        return assignments(self._items, expires_at=(now + self._lifetime) // 1000, **values)


def _absent_or_before(attribute: NumberAttribute, value: int) -> Condition:
    condition: Condition = attribute.does_not_exist() | (attribute < value)
    return condition


def _partition(issuer: str, event: Ended) -> str:
    return key("SID", issuer, event.sid) if isinstance(event, SessionEnded) else key("SUB", issuer, event.sub)


def _tombstone_key(issuer: str, event: Ended) -> tuple[str, str]:
    return _partition(issuer, event), key("ENDED", event.client_id or "")


def _item_keys(issuer: str, session: RpSession) -> list[tuple[str, str]]:
    by_subject = (key("SUB", issuer, session.sub), key("RP", session.client_id, session.sid or ""))
    if session.sid is None:
        return [by_subject]
    return [(key("SID", issuer, session.sid), key("RP", session.client_id)), by_subject]


def _rp_session(item: _SessionItem) -> RpSession:
    return RpSession(
        client_id=item.client_id,
        sub=item.sub,
        started_at=int(item.started_at),
        sid=item.sid,
        client_sub=item.client_sub,
        ended_by=item.ended_by,
        fanout_id=item.fanout_id,
        ended_at=None if item.ended_at is None else int(item.ended_at),
        expires_at=None if item.session_expires_at is None else int(item.session_expires_at),
    )
