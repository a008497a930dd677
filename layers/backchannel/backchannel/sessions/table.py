"""SessionsTable: who is logged in where, and which sessions are over.

| pk | sk | |
|---|---|---|
| ``SID#<issuer>#<sid>`` | ``RP#<client_id>`` | an RP session, found by its provider session |
| ``SUB#<issuer>#<sub>`` | ``RP#<client_id>#<sid>`` | the same, found by its subject; without ``sid`` the only one |
| ``SID#…`` or ``SUB#…`` | ``ENDED#`` | tombstone: this session, or this subject's sessions until then, are over |
| ``SID#…`` or ``SUB#…`` | ``ENDED#<client_id>`` | the same for one client |

A long ``sid``, ``sub`` or ``client_id`` is in a key as its hash; the attributes have it as it is.

A login in a session that is known already falls on the same item. It hides no older one: ``logged_in_since`` is the earliest
login that nobody has told the client of. An end that is about the older logins only takes those: it claims a part of the item
(``part_of``), after which ``logged_in_since`` is just behind that end.

A start writes its items and then looks for tombstones; an end writes its tombstone and then looks for items. Both look with
strongly consistent reads, so whichever comes second sees the other. Of the two items of an RP session the first is written
first and is the one that is claimed: claiming it gives the RP session to one run of one logout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from backchannel.aws.dynamodb import (
    Page,
    assignments,
    bind,
    key,
    optional_int,
    part,
    partition_page,
    parts,
    read,
    storage,
    update_if,
)
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEnded, SubjectSessionsEnded, is_whole_session
from backchannel.sessions.rp_sessions import RpSession, is_covered, last_covered

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
    logged_in_since = NumberAttribute(null=True)
    part_of = UnicodeAttribute(null=True)
    untimed = BooleanAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    source_event_id = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()


class Sessions:
    """The operations on SessionsTable; ``lifetime_days`` is how long anything is remembered after it was written, or expired."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str, lifetime_days: int = 30) -> None:
        self._items = bind(_SessionItem, dynamodb, table_name)
        self._lifetime = lifetime_days * MILLISECONDS_PER_DAY

    def start(self, issuer: str, started: RpSessionStarted, now: int) -> Ended | None:
        """Store a login. If an end that covers it came first, return that end: it has to be carried out again."""
        session = RpSession(
            started.client_id,
            started.sub,
            started.started_at,
            started.sid,
            started.client_sub,
            expires_at=started.expires_at,
            untimed=started.untimed,
        )
        for pk, sk in _item_keys(issuer, session):
            self._start(self._items(pk, sk), session, now)
        return next((event for event in self._ends(issuer, session) if is_covered(session, event)), None)

    def _start(self, item: _SessionItem, session: RpSession, now: int) -> None:
        """Write a login: as a new RP session, as the latest one beside older ones, or as one that is older still."""
        items = self._items
        is_free, is_newer = items.ended_by.does_not_exist(), items.started_at < session.started_at
        since = items.logged_in_since
        actions = self._set(
            max(now, session.expires_at or now),
            client_id=session.client_id,
            sub=session.sub,
            sid=session.sid,
            client_sub=session.client_sub,
            started_at=session.started_at,
            session_expires_at=session.expires_at,
            untimed=session.untimed or None,
        )
        first = items.pk.does_not_exist() | (is_free & is_newer)
        if update_if(item, first, [*actions, since.set(since | session.started_at)]):
            return
        anew = self._set(now, ended_at=None, ended_by=None, fanout_id=None, part_of=None)[1:]
        if update_if(item, is_newer, [*actions, *anew, since.set(session.started_at)]):
            return
        update_if(item, is_free & items.part_of.does_not_exist() & (since > session.started_at), [since.set(session.started_at)])

    def end(self, issuer: str, event: Ended, now: int) -> None:
        """Write the tombstone; of two tombstones with one key, the later stays."""
        actions = self._set(now, ended_at=event.ended_at, source_event_id=event.source_event_id, reason=event.reason)
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
            condition = self._items.sk == key("RP", part(client_id))
        else:
            condition = self._items.sk.startswith(key("RP", part(client_id), ""))
        return self._query(pk, condition, after, limit, now)

    def claim(self, issuer: str, session: RpSession, event: Ended, claim: Claim, now: int) -> RpSession | None:
        """Give an RP session to a run of a logout, and return it as it is stored then.

        If it holds a newer login, the run gets the older ones alone; what is returned has no ``ended_by`` then. None if another
        run has it, or if nothing in it is covered any more.
        """
        first, *others = [self._items(*names) for names in _item_keys(issuer, session)]
        if self._claim_item(first, session, event, claim, now):
            return _rp_session(first)
        if isinstance(event, SubjectSessionsEnded) and others and self._is_anothers(first, session):
            # The provider reported the same session for another subject: this one's login is on its own item alone.
            return _rp_session(others[0]) if self._claim_item(others[0], session, event, claim, now) else None
        return None

    def mark(self, issuer: str, claimed: RpSession, now: int) -> None:
        """Copy the claim of an RP session to its other item, which only readers use."""
        for item in [self._items(*names) for names in _item_keys(issuer, claimed)[1:]]:
            if claimed.ended_by and claimed.fanout_id and claimed.ended_at is not None:
                claim = Claim(claimed.ended_by, claimed.fanout_id, claimed.ended_at)
                update_if(item, self._items.started_at <= claimed.started_at, self._claim(claim, now))
            elif claimed.part_of and claimed.logged_in_since is not None:
                is_behind = self._items.ended_by.does_not_exist() & (self._items.logged_in_since < claimed.logged_in_since)
                update_if(item, is_behind, self._part(claimed.part_of, claimed.logged_in_since, now))

    def mark_again(self, issuer: str, session: RpSession, now: int) -> None:
        """Copy another run's claim to the RP session's other item, which may not have existed when that run wrote it."""
        pk, sk = _item_keys(issuer, session)[0]
        for claimed in self._query(pk, self._items.sk == sk, None, None, now).items:
            self.mark(issuer, claimed, now)

    def of_subject(self, issuer: str, sub: str, *, after: str | None, limit: int, now: int) -> Page[RpSession]:
        """Return a page of the subject's RP sessions, ended ones too."""
        return self._query(key("SUB", issuer, part(sub)), self._items.sk.startswith(key("RP", "")), after, limit, now)

    def of_session(self, issuer: str, sid: str, *, after: str | None, limit: int, now: int) -> Page[RpSession]:
        """Return a page of the session's RP sessions, ended ones too."""
        return self._query(key("SID", issuer, part(sid)), self._items.sk.startswith(key("RP", "")), after, limit, now)

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

    def _claim_item(self, item: _SessionItem, session: RpSession, event: Ended, claim: Claim, now: int) -> bool:
        items, last = self._items, last_covered(event)
        is_free: Condition = items.ended_by.does_not_exist()
        is_covered_whole: Condition = items.started_at <= last
        is_the_one: Condition
        if is_whole_session(event):
            is_covered_whole |= items.untimed == True  # noqa: E712 - a condition
            is_the_one = items.started_at.exists()
        else:
            is_the_one = items.sub == session.sub
        ours = items.fanout_id == claim.fanout_id
        if update_if(item, (is_free | ours) & is_covered_whole & is_the_one, self._claim(claim, now)):
            return True
        has_older = (items.logged_in_since <= last) | (items.part_of == claim.fanout_id)
        is_part = is_free & (items.started_at > last) & has_older & is_the_one
        return update_if(item, is_part, self._part(claim.fanout_id, last + 1, now))

    def _is_anothers(self, item: _SessionItem, session: RpSession) -> bool:
        found = read(self._items, item.pk, item.sk)
        return found is not None and found.sub != session.sub

    def _ends(self, issuer: str, session: RpSession) -> list[Ended]:
        """Read every tombstone that may cover an RP session."""
        partitions = [pk for pk, _ in _item_keys(issuer, session)]
        keys = [(pk, key("ENDED", part(client))) for pk in partitions for client in ("", session.client_id)]
        with storage():
            found = {(item.pk, item.sk): item for item in self._items.batch_get(keys, consistent_read=True)}
        ends: list[Ended] = []
        for pk, sk in keys:
            if (item := found.get((pk, sk))) is None:
                continue
            client_id = None if sk == key("ENDED", "") else session.client_id
            what = int(item.ended_at), item.source_event_id, client_id, item.reason
            if pk == partitions[0] and session.sid is not None:
                ends.append(SessionEnded(session.sid, *what))
            else:
                ends.append(SubjectSessionsEnded(session.sub, *what))
        return ends

    def _query(self, pk: str, keys: Condition, after: str | None, limit: int | None, now: int) -> Page[RpSession]:
        found = partition_page(self._items, pk, keys, after=after, limit=limit)
        live = [_rp_session(item) for item in found.items if item.expires_at * 1000 > now]  # TTL deletes days later
        return Page(live, found.cursor)

    def _claim(self, claim: Claim, now: int) -> list[Action]:
        return self._set(
            now,
            ended_by=claim.logout_id,
            fanout_id=claim.fanout_id,
            ended_at=claim.ended_at,
            logged_in_since=None,
            part_of=None,
        )

    def _part(self, fanout_id: str, logged_in_since: int, now: int) -> list[Action]:
        return self._set(now, part_of=fanout_id, logged_in_since=logged_in_since)

    def _set(self, now: int, **values: str | int | None) -> list[Action]:
        return assignments(self._items, expires_at=(now + self._lifetime) // 1000, **values)


def _absent_or_before(attribute: NumberAttribute, value: int) -> Condition:
    condition: Condition = attribute.does_not_exist() | (attribute < value)
    return condition


def _partition(issuer: str, event: Ended) -> str:
    if isinstance(event, SessionEnded):
        return key("SID", issuer, part(event.sid))
    return key("SUB", issuer, part(event.sub))


def _tombstone_key(issuer: str, event: Ended) -> tuple[str, str]:
    return _partition(issuer, event), key("ENDED", part(event.client_id or ""))


def _item_keys(issuer: str, session: RpSession) -> list[tuple[str, str]]:
    by_subject = (key("SUB", issuer, part(session.sub)), key("RP", part(session.client_id), part(session.sid or "")))
    if session.sid is None:
        return [by_subject]
    return [(key("SID", issuer, part(session.sid)), key("RP", part(session.client_id))), by_subject]


def _rp_session(item: _SessionItem) -> RpSession:
    return RpSession(
        client_id=item.client_id,
        sub=item.sub,
        started_at=int(item.started_at),
        sid=item.sid,
        client_sub=item.client_sub,
        ended_by=item.ended_by,
        fanout_id=item.fanout_id,
        ended_at=optional_int(item.ended_at),
        expires_at=optional_int(item.session_expires_at),
        logged_in_since=optional_int(item.logged_in_since),
        part_of=item.part_of,
        untimed=bool(item.untimed),
    )
