"""The items of SessionsTable.

| pk | sk | |
|---|---|---|
| ``SID#<issuer>#<sid>`` | ``RP#<client_id>`` | an RP session, found by its provider session |
| ``SUB#<issuer>#<sub>`` | ``RP#<client_id>#<sid>`` | the same, found by its subject; without ``sid`` the only one |
| ``SID#…`` or ``SUB#…`` | ``ENDED#`` | tombstone: this session, or this subject's sessions until then, are over |
| ``SID#…`` or ``SUB#…`` | ``ENDED#<client_id>`` | the same for one client |
| ``ENDED#<issuer>`` | ``ENDED#`` | tombstone of a mass logout: all of the provider's sessions until then are over |
| ``ENDED#<issuer>`` | ``ENDED#<client_id>`` | the same for one client |

A tombstone keeps the latest end, and beside it the latest one that was an emergency: a mere logout must not hide it.

A long ``sid``, ``sub`` or ``client_id`` is in a key as its hash; the attributes have it as it is. Of an RP session whose ``sub``
nobody knows, there is only the first item.

A login in a session that is known already falls on the same item. It hides no older one: ``logged_in_since`` is the earliest
login that nobody has told the client of. An end that is about the older logins only takes those: it claims a part of the item
(``part_of``), after which ``logged_in_since`` is just behind that end. A login in an item that is claimed leaves the claim a part
of it, too. ``claimed_by`` are the logouts that have claimed logins here: their tokens may still be on the way.

The index ``by_client`` finds RP sessions by client, for reports only. The first item of each has the attribute ``client``, which
never changes, and nothing else is in the index: after the first start, no write of an RP session is one of the index, too.
"""

import hashlib

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model

from backchannel.aws.dynamodb import key, optional_int, part
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, SessionEnded
from backchannel.sessions.rp_sessions import RpSession

SHARDS = 8
"""Parts of a client in the index. DynamoDB takes 1 000 writes a second for one key of an index; above that, starts fail."""


class _SessionsByClient(GlobalSecondaryIndex["SessionItem"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by_client"
        projection = KeysOnlyProjection()

    client = UnicodeAttribute(hash_key=True)
    pk = UnicodeAttribute(range_key=True)


class SessionItem(Model):
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
    claimed_by = UnicodeSetAttribute(null=True)
    untimed = BooleanAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    source_event_id = UnicodeAttribute(null=True)
    emergency_at = NumberAttribute(null=True)
    emergency_reason = UnicodeAttribute(null=True)
    emergency_event_id = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()
    client = UnicodeAttribute(null=True)
    by_client = _SessionsByClient()


def partition(issuer: str, event: Ended) -> str:
    if isinstance(event, SessionEnded):
        return key("SID", issuer, part(event.sid))
    return key("SUB", issuer, part(event.sub))


def tombstone_key(issuer: str, event: Ended) -> tuple[str, str]:
    return partition(issuer, event), key("ENDED", part(event.client_id or ""))


def mass_tombstone_key(issuer: str, client_id: str | None) -> tuple[str, str]:
    return key("ENDED", issuer), key("ENDED", part(client_id or ""))


def item_keys(issuer: str, session: RpSession) -> list[tuple[str, str]]:
    client, sid = part(session.client_id), part(session.sid or "")
    by_subject = (key("SUB", issuer, part(session.sub)), key("RP", client, sid))
    if session.sid is None:
        return [by_subject]
    by_session = (key("SID", issuer, sid), key("RP", client))
    return [by_session, by_subject] if session.sub else [by_session]


def client_key(issuer: str, client_id: str, shard: int) -> str:
    """Return the index's hash key of a part of a client's RP sessions."""
    return key(issuer, part(client_id), str(shard))


def shard_of(pk: str) -> int:
    """Return the part of a client's RP sessions that an item is in."""
    return hashlib.sha256(pk.encode()).digest()[0] % SHARDS


def rp_session(item: SessionItem) -> RpSession:
    return RpSession(
        client_id=item.client_id,
        sub=item.sub or "",
        started_at=int(item.started_at),
        sid=item.sid,
        client_sub=item.client_sub,
        ended_by=item.ended_by,
        fanout_id=item.fanout_id,
        ended_at=optional_int(item.ended_at),
        expires_at=optional_int(item.session_expires_at),
        logged_in_since=optional_int(item.logged_in_since),
        part_of=item.part_of,
        claimed_by=frozenset(item.claimed_by or ()),
        untimed=bool(item.untimed),
        reason=Reason.read(item.reason),
    )
