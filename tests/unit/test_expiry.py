from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from backchannel.errors import NotFoundError
from backchannel.providers.clients import ALL_BUT_EXPIRED, Client
from backchannel.providers.table import Provider
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEnded, SessionEvent, SubjectSessionsEnded
from backchannel.sessions.expiry import ExpiryPass
from backchannel.sessions.intake import Taken
from backchannel.sessions.rp_sessions import RpSession, is_covered

NOW = 1_788_256_800_000
STARTED, EXPIRED = NOW - 7_200_000, NOW - 3_600_000
ACME = Provider("acme", "https://idp.example", ())


@dataclass
class Idp:
    """A provider with expired sessions, in the place of both tables and of the intake."""

    expired_sessions: list[RpSession]
    clients: dict[str, Client]
    ends: list[SessionEvent] = field(default_factory=list)

    def by_issuer(self, issuer: str) -> Provider:
        assert issuer == ACME.issuer
        return ACME

    def get_client(self, provider: str, client_id: str) -> Client:
        assert provider == ACME.provider
        try:
            return self.clients[client_id]
        except KeyError as error:
            raise NotFoundError(client_id) from error

    def expired(self, now: int, part: int, parts: int, _: object) -> Iterator[tuple[str, RpSession]]:
        assert now == NOW
        assert 0 <= part < parts
        return iter([(ACME.issuer, session) for session in self.expired_sessions] if part == 0 else [])

    def take(self, provider: Provider, events: Iterable[SessionEvent], now: int) -> Taken:
        assert (provider, now) == (ACME, NOW)
        taken = list(events)
        self.ends += taken
        return Taken(0, len(taken))

    def expire(self) -> int:
        this = cast("Any", self)
        return ExpiryPass(this, this, this).run(NOW, lambda: False)


def client(client_id: str, *logout_reasons: Reason) -> Client:
    return Client(client_id, backchannel_logout_uri="https://wiki.example/logout", logout_reasons=logout_reasons)


@pytest.mark.parametrize(
    ("sid", "expected"),
    [
        ("s1", SessionEnded("s1", STARTED, f"expired:{EXPIRED}", "wiki", Reason.EXPIRED)),
        (None, SubjectSessionsEnded("ada", STARTED, f"expired:{EXPIRED}", "wiki", Reason.EXPIRED)),
    ],
)
def test_an_expired_session_ends_as_of_its_start(sid: str | None, expected: SessionEnded | SubjectSessionsEnded) -> None:
    idp = Idp([RpSession("wiki", "ada", STARTED, sid, expires_at=EXPIRED)], {"wiki": client("wiki", Reason.EXPIRED)})

    assert idp.expire() == 1

    assert idp.ends == [expected]


@pytest.mark.parametrize("sid", ["s1", None])
def test_a_login_before_the_expiry_is_not_ended_with_the_session_that_expired(sid: str | None) -> None:
    idp = Idp([RpSession("wiki", "ada", STARTED, sid, expires_at=EXPIRED)], {"wiki": client("wiki", Reason.EXPIRED)})
    later = RpSession("wiki", "ada", EXPIRED - 1, sid)

    idp.expire()

    (end,) = idp.ends
    assert isinstance(end, SessionEnded | SubjectSessionsEnded)
    assert not is_covered(later, end)


def test_a_client_that_is_gone_or_does_not_want_to_hear_of_it_is_left_out() -> None:
    sessions = [RpSession(each, "ada", STARTED, "s1", expires_at=EXPIRED) for each in ("gone", "deaf", "wiki")]
    idp = Idp(sessions, {"deaf": client("deaf", *ALL_BUT_EXPIRED), "wiki": client("wiki", Reason.EXPIRED)})

    assert idp.expire() == 1

    assert [each.client_id for each in idp.ends] == ["wiki"]
