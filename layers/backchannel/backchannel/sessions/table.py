"""SessionsTable: who is logged in where, and which sessions are over.

A start writes its items and then looks for tombstones; an end writes its tombstone and then looks for items. Both look with
strongly consistent reads, so whichever comes second sees the other. Of the two items of an RP session the first is written
first and is the one that is claimed: claiming it gives the RP session to one run of one logout.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pynamodb.attributes import NumberAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from backchannel.aws.dynamodb import (
    ConditionFailedError,
    Page,
    assignments,
    bind,
    key,
    page,
    part,
    partition_page,
    parts,
    storage,
    transaction,
    update_if,
)
from backchannel.errors import StorageUnavailable
from backchannel.reasons import Reason, is_emergency
from backchannel.sessions.events import (
    Ended,
    MassEnd,
    RpSessionStarted,
    SessionEnded,
    SubjectSessionsEnded,
    is_whole_session,
    logout_id,
)
from backchannel.sessions.items import (
    SessionItem,
    client_key,
    item_keys,
    mass_tombstone_key,
    partition,
    rp_session,
    shard_of,
    tombstone_key,
)
from backchannel.sessions.rp_sessions import RpSession, end_in_mass, is_covered, last_covered

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MILLISECONDS_PER_DAY = 86_400_000

STARTS_AT_ONCE = 50
"""Logins of one transaction, which has at most 100 items; a login has two."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Which run of which logout takes care of an RP session, and when and why that session ended."""

    logout_id: str
    fanout_id: str
    ended_at: int
    reason: Reason | None = None


class Sessions:
    """The operations on SessionsTable; ``lifetime_days`` is how long anything is remembered after it was written, or expired."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str, lifetime_days: int = 30) -> None:
        self._items = bind(SessionItem, dynamodb, table_name)
        self._lifetime = lifetime_days * MILLISECONDS_PER_DAY

    def start(self, issuer: str, started: RpSessionStarted, now: int) -> Ended | None:
        """Store a login. If an end that covers it came first, return that end: it has to be carried out again.

        A start that is sent again after all of that is done costs reads alone.
        """
        session = _rp_session(started)
        for pk, sk in item_keys(issuer, session):
            self._start(self._items(pk, sk), session, now)
        return self._end_of(issuer, session, self._tombstones(issuer, [session]))

    def start_many(self, issuer: str, starts: Sequence[RpSessionStarted], now: int) -> list[tuple[RpSessionStarted, Ended]]:
        """Store logins, at most ``STARTS_AT_ONCE``; return those that an end covers, each with that end.

        It does as ``start`` does, with five calls in all for logins that are new, and four for those that are stored already.
        """
        sessions = [_rp_session(each) for each in starts]
        keys = Counter(names for session in sessions for names in item_keys(issuer, session))
        stored = self._found([*keys])
        new = [each for each in sessions if all(names not in stored and keys[names] == 1 for names in item_keys(issuer, each))]
        others = [each for each in sessions if each not in new] if self._start_new(issuer, new, now) else sessions
        for session in others:
            for names in item_keys(issuer, session):
                if names not in stored or not _tells_of(stored[names], session):
                    self._start(self._items(*names), session, now)
        tombstones = self._tombstones(issuer, sessions)
        ends = [self._end_of(issuer, session, tombstones) for session in sessions]
        return [(started, end) for started, end in zip(starts, ends, strict=True) if end is not None]

    def find(self, issuer: str, session: RpSession, now: int) -> RpSession | None:
        """Return what is stored of an RP session as it is now, by its ``sid``, or else by its subject."""
        with storage():
            found = list(self._items.batch_get(item_keys(issuer, session)[:1], consistent_read=True))
        return next((rp_session(item) for item in found if item.expires_at * 1000 > now), None)

    def _start(self, item: SessionItem, session: RpSession, now: int) -> None:
        """Write a login: as a new RP session, as the latest one beside older ones, or as one that is older still."""
        items = self._items
        is_free, is_newer = items.ended_by.does_not_exist(), items.started_at < session.started_at
        since = items.logged_in_since
        actions = self._login(item, session, now)
        is_first = items.pk.does_not_exist() | (is_free & is_newer)
        first = [*actions, since.set(since | session.started_at)]
        if update_if(item, is_first, first):
            return
        with storage():
            found = next(iter(items.batch_get([(item.pk, item.sk)], consistent_read=True)), None)
        if found is not None and found.ended_by is None:
            is_older = is_free & items.part_of.does_not_exist() & (since > session.started_at)
            update_if(item, is_older, [since.set(session.started_at)])
            return
        again = [*actions, *self._unclaim(), since.set(session.started_at)]
        if not update_if(item, items.ended_by.exists() & is_newer, again):
            update_if(item, is_first, first)  # another start has just come between

    def _start_new(self, issuer: str, sessions: Sequence[RpSession], now: int) -> bool:
        """Write logins none of whose items is there, all of them or none; False if none."""
        items = self._items
        try:
            with transaction(items) as writes:
                for session in sessions:
                    since = items.logged_in_since.set(session.started_at)
                    for item in [items(*names) for names in item_keys(issuer, session)]:
                        actions = [*self._login(item, session, now), since]
                        writes.update(item, actions, items.pk.does_not_exist())
        except (ConditionFailedError, StorageUnavailable):  # others write the same items; or the next write fails, too
            return False
        return True

    def _login(self, item: SessionItem, session: RpSession, now: int) -> list[Action]:
        kind, issuer, _ = parts(item.pk)
        is_first = kind == "SID" or session.sid is None
        indexed = {"client": client_key(issuer, session.client_id, shard_of(item.pk))} if is_first else {}
        return self._set(
            max(now, session.expires_at or now),
            client_id=session.client_id,
            sub=session.sub,
            sid=session.sid,
            client_sub=session.client_sub,
            started_at=session.started_at,
            session_expires_at=session.expires_at,
            untimed=session.untimed or None,
            **indexed,
        )

    def _unclaim(self) -> list[Action]:
        """Return what leaves a claim a part of an item that holds a newer login."""
        part_of: Action = self._items.part_of.set(self._items.fanout_id)
        return [part_of, *assignments(self._items, ended_at=None, ended_by=None, fanout_id=None, reason=None)]

    def end(self, issuer: str, event: Ended, now: int) -> None:
        """Write the tombstone; of two tombstones with one key, the later stays."""
        self._end(self._items(*tombstone_key(issuer, event)), event, now)

    def end_all(self, issuer: str, event: MassEnd, now: int) -> None:
        """Write the tombstone of a mass logout, which every start looks at."""
        self._end(self._items(*mass_tombstone_key(issuer, event.client_id)), event, now)

    def _end(self, tombstone: SessionItem, event: Ended | MassEnd, now: int) -> None:
        actions = self._set(now, ended_at=event.ended_at, source_event_id=event.source_event_id, reason=event.reason)
        update_if(tombstone, _absent_or_before(self._items.ended_at, event.ended_at), actions)
        if is_emergency(event.reason):
            urgent = self._set(
                now, emergency_at=event.ended_at, emergency_event_id=event.source_event_id, emergency_reason=event.reason
            )
            update_if(tombstone, _absent_or_before(self._items.emergency_at, event.ended_at), urgent)

    def page(
        self, issuer: str, event: Ended, *, client_id: str | None, after: str | None, limit: int, now: int
    ) -> Page[RpSession]:
        """Return a page of the event's partition, ended RP sessions too; with ``client_id``, only that client's."""
        pk = partition(issuer, event)
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
        first, *others = [self._items(*names) for names in item_keys(issuer, session)]
        if self._claim_item(first, session, event, claim, now):
            return rp_session(first)
        if isinstance(event, SubjectSessionsEnded) and others and self._is_anothers(first, session, now):
            # The provider reported the same session for another subject: this one's login is on its own item alone.
            return rp_session(others[0]) if self._claim_item(others[0], session, event, claim, now) else None
        return None

    def mark(self, issuer: str, claimed: RpSession, now: int, *, told_until: int | None = None) -> None:
        """Copy the claim of an RP session to its other item, which only readers use.

        If that holds a newer login by now, whatever began until ``told_until`` is noted as told.
        """
        items = self._items
        for item in [items(*names) for names in item_keys(issuer, claimed)[1:]]:
            since = claimed.logged_in_since
            if claimed.ended_by and claimed.fanout_id and claimed.ended_at is not None:
                claim = Claim(claimed.ended_by, claimed.fanout_id, claimed.ended_at, claimed.reason)
                if update_if(item, items.started_at <= claimed.started_at, self._claim(claim, now)):
                    continue
                since = None if told_until is None else told_until + 1
            if since is not None:
                is_behind = items.ended_by.does_not_exist() & (items.logged_in_since < since)
                update_if(item, is_behind, self._part(claimed.part_of or claimed.fanout_id, since, claimed.claimed_by, now))

    def mark_again(self, issuer: str, session: RpSession, now: int) -> None:
        """Copy another run's claim to the RP session's other item, which may not have existed when that run wrote it."""
        pk, sk = item_keys(issuer, session)[0]
        for claimed in self._query(pk, self._items.sk == sk, None, None, now).items:
            self.mark(issuer, claimed, now)

    def of_subject(self, issuer: str, sub: str, *, after: str | None, limit: int, now: int) -> Page[RpSession]:
        """Return a page of the subject's RP sessions, ended ones too."""
        return self._query(key("SUB", issuer, part(sub)), self._items.sk.startswith(key("RP", "")), after, limit, now)

    def of_session(self, issuer: str, sid: str, *, after: str | None, limit: int, now: int) -> Page[RpSession]:
        """Return a page of the session's RP sessions, ended ones too."""
        return self._query(key("SID", issuer, part(sid)), self._items.sk.startswith(key("RP", "")), after, limit, now)

    def of_client(
        self, issuer: str, client_id: str, shard: int, *, after: dict[str, str] | None, limit: int, now: int
    ) -> Page[RpSession, dict[str, str]]:
        """Return a page of a part of the client's RP sessions, ended ones too, as they are now; the list may lag by seconds."""
        client = client_key(issuer, client_id, shard)
        query = functools.partial(self._items.by_client.query, client)
        listed = page(query, after=None if after is None else {**after, "client": client}, limit=limit)
        names = [(item.pk, item.sk) for item in listed.items]
        found = self._found(names)
        live = [rp_session(found[each]) for each in names if each in found and found[each].expires_at * 1000 > now]
        cursor = None if listed.cursor is None else {name: value for name, value in listed.cursor.items() if name != "client"}
        return Page(live, cursor)

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
                        yield issuer, rp_session(item)
                if time_is_short():
                    return

    def of_provider(
        self, issuer: str, client_id: str | None, segment: tuple[int, int], *, after: dict[str, str] | None, limit: int, now: int
    ) -> Page[RpSession, dict[str, str]]:
        """Read ``limit`` items of a segment of the table, and return the RP sessions of an issuer among them, each once.

        ``segment`` is its number and how many there are. All RP sessions of one subject are in one segment, one after another.
        """
        items, (number, segments) = self._items, segment
        is_of_nobody: Condition = items.pk.startswith(key("SID", issuer, "")) & (items.sub.does_not_exist() | (items.sub == ""))
        wanted = items.sk.startswith(key("RP", "")) & (items.pk.startswith(key("SUB", issuer, "")) | is_of_nobody)
        if client_id is not None:
            wanted &= items.client_id == client_id
        start = None if after is None else {name: {"S": value} for name, value in after.items()}
        with storage():
            found = items.scan(
                wanted,
                segment=number,
                total_segments=segments,
                page_size=limit,
                last_evaluated_key=start,
                consistent_read=True,
            ).page_iter
            page = next(found)
        live = [item for item in map(items.from_raw_data, page["Items"]) if item.expires_at * 1000 > now]
        last = page.get("LastEvaluatedKey")
        return Page([rp_session(item) for item in live], last and {name: value["S"] for name, value in last.items()})

    def _claim_item(self, item: SessionItem, session: RpSession, event: Ended, claim: Claim, now: int) -> bool:
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
        return update_if(item, is_part, self._part(claim.fanout_id, last + 1, {claim.logout_id}, now))

    def _is_anothers(self, item: SessionItem, session: RpSession, now: int) -> bool:
        found = self._query(item.pk, self._items.sk == item.sk, None, None, now).items
        return any(each.sub != session.sub for each in found)

    def _found(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], SessionItem]:
        """Return those of the items that are there."""
        with storage():
            return {(item.pk, item.sk): item for item in self._items.batch_get(keys, consistent_read=True)}

    def _tombstones(self, issuer: str, sessions: Sequence[RpSession]) -> dict[tuple[str, str], SessionItem]:
        """Read every tombstone that may cover one of some RP sessions."""
        return self._found([*dict.fromkeys(names for session in sessions for names in _tombstone_keys(issuer, session))])

    def _end_of(self, issuer: str, session: RpSession, tombstones: Mapping[tuple[str, str], SessionItem]) -> Ended | None:
        """Return the end that covers an RP session, if it has to be carried out again."""
        end = next((event for event in _ends(issuer, session, tombstones) if is_covered(session, event)), None)
        return None if end is None or self._is_taken_care_of(issuer, session, end) else end

    def _is_taken_care_of(self, issuer: str, session: RpSession, end: Ended) -> bool:
        """Whether all items of an RP session say that the logins which an end covers are claimed."""
        keys = item_keys(issuer, session)
        with storage():
            found = [rp_session(item) for item in self._items.batch_get(keys, consistent_read=True)]
        by_this = logout_id(issuer, end)
        return len(found) == len(keys) and all(
            each.ended_by is not None or (by_this in each.claimed_by and not is_covered(each, end)) for each in found
        )

    def _query(self, pk: str, keys: Condition, after: str | None, limit: int | None, now: int) -> Page[RpSession]:
        found = partition_page(self._items, pk, keys, after=after, limit=limit)
        live = [rp_session(item) for item in found.items if item.expires_at * 1000 > now]  # TTL deletes days later
        return Page(live, found.cursor)

    def _claim(self, claim: Claim, now: int) -> list[Action]:
        return self._set(
            now,
            ended_by=claim.logout_id,
            fanout_id=claim.fanout_id,
            ended_at=claim.ended_at,
            reason=claim.reason,
            logged_in_since=None,
            part_of=None,
            claimed_by={claim.logout_id},
        )

    def _part(self, fanout_id: str | None, logged_in_since: int, logout_ids: Collection[str], now: int) -> list[Action]:
        actions = self._set(now, logged_in_since=logged_in_since)
        if fanout_id is not None:
            actions.append(self._items.part_of.set(fanout_id))
        if logout_ids:
            actions.append(self._items.claimed_by.add(set(logout_ids)))
        return actions

    def _set(self, now: int, **values: Any) -> list[Action]:
        return assignments(self._items, expires_at=(now + self._lifetime) // 1000, **values)


def _absent_or_before(attribute: NumberAttribute, value: int) -> Condition:
    condition: Condition = attribute.does_not_exist() | (attribute < value)
    return condition


def _rp_session(started: RpSessionStarted) -> RpSession:
    return RpSession(
        started.client_id,
        started.sub,
        started.started_at,
        started.sid,
        started.client_sub,
        expires_at=started.expires_at,
        untimed=started.untimed,
    )


def _tells_of(item: SessionItem, session: RpSession) -> bool:
    """Whether an item says all that it can of a login, so that writing it again would change nothing."""
    if item.started_at is None or item.started_at < session.started_at:
        return False
    return item.ended_by is not None or (item.logged_in_since is not None and item.logged_in_since <= session.started_at)


def _tombstone_keys(issuer: str, session: RpSession) -> list[tuple[str, str]]:
    partitions = [pk for pk, _ in item_keys(issuer, session)]
    own = [(pk, key("ENDED", part(client))) for pk in partitions for client in ("", session.client_id)]
    return [*own, *(mass_tombstone_key(issuer, client) for client in (None, session.client_id))]


def _ends(issuer: str, session: RpSession, tombstones: Mapping[tuple[str, str], SessionItem]) -> list[Ended]:
    """Return the ends that may cover an RP session; emergencies come first, what few clients want to hear of last."""
    keys = _tombstone_keys(issuer, session)
    ends: list[Ended] = []
    for pk, sk in keys:
        if (item := tombstones.get((pk, sk))) is None:
            continue
        client_id = None if sk == key("ENDED", "") else session.client_id
        latest = item.ended_at, item.source_event_id, item.reason
        urgent = item.emergency_at, item.emergency_event_id, item.emergency_reason
        for ended_at, event_id, word in (latest, urgent):
            if ended_at is None:
                continue
            reason = Reason.read(word)
            if pk == keys[-1][0]:
                ends.append(end_in_mass(session, MassEnd(int(ended_at), event_id, client_id, reason)))
            elif pk == keys[0][0] and session.sid is not None:
                ends.append(SessionEnded(session.sid, int(ended_at), event_id, client_id, reason))
            else:
                ends.append(SubjectSessionsEnded(session.sub, int(ended_at), event_id, client_id, reason))
    return sorted(ends, key=lambda end: (not is_emergency(end.reason), end.reason is Reason.EXPIRED))
