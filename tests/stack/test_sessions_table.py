"""What SessionsTable keeps, gives to whom and for how long, over the real table."""

import time
import uuid
from dataclasses import replace
from typing import Any

import pytest

from backchannel.sessions.events import Ended, RpSessionStarted, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import MILLISECONDS_PER_DAY, Claim, Sessions
from local.client import Stack
from tests.support.aws import Aws

pytestmark = pytest.mark.inside

LIFETIME = 30
"""Days."""

CLAIM = Claim("logout", "run", 0)


class Table:
    """SessionsTable with an issuer that no other test has, in milliseconds from ``now`` on."""

    def __init__(self, dynamodb: Any, name: str) -> None:
        self.issuer = f"https://idp.example/{uuid.uuid4()}"
        self.now = round(time.time() * 1000)
        self.sessions = Sessions(dynamodb, name, LIFETIME)
        self._dynamodb, self._name = dynamodb, name

    def start(self, sub: str, sid: str | None, *, at: int = 0, expires_at: int | None = None) -> RpSession:
        started = RpSessionStarted(sub, "wiki", self.now + at, sid, expires_at=expires_at)
        self.sessions.start(self.issuer, started, self.now)
        return RpSession("wiki", sub, self.now + at, sid)

    def claim(self, session: RpSession, event: Ended) -> RpSession | None:
        return self.sessions.claim(self.issuer, session, event, CLAIM, self.now)

    def of_session(self, sid: str, *, after: int = 0) -> list[RpSession]:
        return self.sessions.of_session(self.issuer, sid, after=None, limit=9, now=self.now + after).items

    def of_subject(self, sub: str, *, after: int = 0) -> list[RpSession]:
        return self.sessions.of_subject(self.issuer, sub, after=None, limit=9, now=self.now + after).items

    def rows(self, pk: str) -> list[dict[str, Any]]:
        found = self._dynamodb.query(
            TableName=self._name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            ConsistentRead=True,
        )
        rows: list[dict[str, Any]] = found["Items"]
        return rows


@pytest.fixture
def table(aws: Aws, stack: Stack) -> Table:
    return Table(aws.client("dynamodb"), stack.tables["SessionsTable"])


@pytest.mark.parametrize("client_id", [None, "wiki"])
def test_the_end_of_a_subject_claims_its_own_login_where_another_uses_the_same_sid(table: Table, client_id: str | None) -> None:
    of_ada = table.start("ada", "s1")
    table.start("bob", "s1", at=1)

    claimed = table.claim(of_ada, SubjectSessionsEnded("ada", table.now + 2, "end", client_id))

    assert claimed is not None
    assert (claimed.sub, claimed.ended_by) == ("ada", "logout")
    assert [(each.sub, each.ended_by) for each in table.of_session("s1")] == [("bob", None)]


def test_the_end_of_a_session_claims_it_whoever_logged_in_there_last(table: Table) -> None:
    of_ada = table.start("ada", "s1")
    table.start("bob", "s1", at=1)

    claimed = table.claim(of_ada, SessionEnded("s1", table.now + 2, "end"))

    assert claimed is not None
    assert (claimed.sub, claimed.ended_by) == ("bob", "logout")


@pytest.mark.parametrize(
    "event",
    [SessionEnded("s1", 9**15, "end"), SessionEnded("s1", 9**15, "end", "wiki"), SubjectSessionsEnded("ada", 9**15, "end")],
    ids=["session", "client", "subject"],
)
@pytest.mark.parametrize("sid", ["s1", None])
def test_an_rp_session_that_is_gone_is_not_claimed_and_leaves_no_row(table: Table, event: Ended, sid: str | None) -> None:
    gone = RpSession("wiki", "ada", table.now, sid)

    claimed = table.claim(gone, event)
    table.sessions.mark(table.issuer, replace(gone, ended_by="logout", fanout_id="run", ended_at=table.now), table.now)

    assert claimed is None
    assert table.rows(f"SID#{table.issuer}#s1") == []
    assert table.rows(f"SUB#{table.issuer}#ada") == []


@pytest.mark.parametrize("ahead", [None, -60_000, 60_000, 400 * MILLISECONDS_PER_DAY])
def test_a_row_outlives_its_session_by_the_lifetime(table: Table, ahead: int | None) -> None:
    table.start("ada", "s1", expires_at=None if ahead is None else table.now + ahead)

    rows = table.rows(f"SID#{table.issuer}#s1") + table.rows(f"SUB#{table.issuer}#ada")

    last = table.now + max(ahead or 0, 0)
    assert [int(row["expires_at"]["N"]) for row in rows] == [(last + LIFETIME * MILLISECONDS_PER_DAY) // 1000] * 2


def test_a_row_that_has_expired_is_not_seen_although_it_is_still_there(table: Table) -> None:
    table.start("ada", "s1")
    expiry = (table.now + LIFETIME * MILLISECONDS_PER_DAY) // 1000 * 1000 - table.now

    assert len(table.of_session("s1", after=expiry - 1)) == len(table.of_subject("ada", after=expiry - 1)) == 1
    assert table.of_session("s1", after=expiry) == table.of_subject("ada", after=expiry) == []
    assert len(table.rows(f"SID#{table.issuer}#s1")) == 1
