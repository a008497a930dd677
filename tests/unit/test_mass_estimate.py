"""A dry run counts what it has time for, and says of how much that is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from backchannel.aws.dynamodb import Page
from backchannel.errors import OutOfTime
from backchannel.logouts.mass.audience import Audience
from backchannel.logouts.mass.estimate import SAMPLES, Estimator, Reach
from backchannel.logouts.mass.records import Scope
from backchannel.logouts.mass.releases import LOGOUTS_A_SECOND
from backchannel.providers.clients import Client
from backchannel.reasons import Reason
from backchannel.sessions.events import MassEnd, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession

NOW = 1_788_256_800_000
END = MassEnd(NOW, "dry run", None, Reason.COMPROMISED)
ISSUER = "https://idp.example"


CLIENTS = {name: Client(name, backchannel_logout_uri="https://rp.example/") for name in ("wiki", "mail")}


class Crowd:
    """Subjects with an RP session at each of two clients, spread over the segments of a table; pages of two RP sessions."""

    def __init__(self, subjects: int) -> None:
        self.subjects = [f"u{n}" for n in range(subjects)]
        self.calls = 0

    def of_provider(
        self, _: str, __: object, segment: tuple[int, int], *, after: Any, limit: int, now: int
    ) -> Page[RpSession, Any]:
        assert (limit, now) == (1000, NOW)
        self.calls += 1
        number, in_all = segment
        here = self.subjects[number::in_all]
        place = after or 0
        sessions = [RpSession(client, sub, NOW - 1, None) for sub in here[place : place + 1] for client in ("wiki", "mail")]
        return Page(sessions, place + 1 if place + 1 < len(here) else None)

    def page(self, _: str, event: SubjectSessionsEnded, **__: object) -> Page[RpSession]:
        known = [RpSession("wiki", event.sub, NOW - 1, "s1")] if event.sub in self.subjects else []
        return Page(known, None)

    def untold(self, sessions: Sequence[RpSession]) -> list[RpSession]:
        return [each for each in sessions if each.ended_by is None]

    def count(
        self,
        scope: Scope,
        *,
        is_long: bool = False,
        calls: int = 1_000_000,
        clients: Mapping[str, Client] = CLIENTS,
        everybody: Sequence[str] = (),
    ) -> Reach:
        audience = Audience(clients, Reason.COMPROMISED, everybody=everybody)
        estimator = Estimator(cast("Any", self), self.untold, audience, NOW, clock=lambda: self.calls / 100)
        return estimator.count(scope, END, is_long=lambda: is_long, is_too_long=lambda: self.calls > calls)


def test_a_small_table_is_counted() -> None:
    reach = Crowd(100).count(Scope(ISSUER))

    assert (reach.share, reach.subjects, reach.sessions, reach.without_sid) == (1.0, 100, 200, 200)
    assert reach.tokens == {"wiki": 100, "mail": 100}


def test_a_large_table_is_estimated_from_whole_segments() -> None:
    reach = Crowd(40_960).count(Scope(ISSUER), is_long=True, calls=2_000)

    assert 0 < reach.share < 200 / SAMPLES * 1.5
    assert reach.extrapolated().subjects == pytest.approx(40_960, rel=0.01)
    assert reach.extrapolated().tokens["wiki"] == pytest.approx(40_960, rel=0.01)


def test_listed_subjects_without_sessions_are_counted_too() -> None:
    reach = Crowd(3).count(Scope(ISSUER, None, ("u0", "u1", "nobody")))

    assert (reach.share, reach.subjects, reach.sessions, reach.released) == (1.0, 3, 2, 3)


def test_a_list_that_takes_too_long_is_estimated() -> None:
    reach = Crowd(500).count(Scope(ISSUER, None, tuple(f"u{n}" for n in range(500))), calls=-1)

    assert (reach.share, reach.extrapolated().subjects) == (64 / 500, 500)


@pytest.mark.parametrize(("rate", "client_rate", "seconds"), [(100, 100, 3.0), (1000, 10, 20.0), (10, 10, 30.0)])
def test_the_time_is_that_of_all_or_of_the_client_with_the_most(rate: int, client_rate: int, seconds: float) -> None:
    reach = Reach(subjects=200, sessions=300, released=300)
    reach.tokens.update({"wiki": 200, "mail": 100})

    assert reach.seconds(rate, client_rate) == seconds


def test_the_time_is_that_of_the_reading_or_of_the_release_where_these_take_longer_than_the_rate() -> None:
    sparse = Reach(subjects=2, sessions=2, released=2, reading=60.0)
    crowded = Reach(subjects=20 * LOGOUTS_A_SECOND, sessions=1, released=20 * LOGOUTS_A_SECOND)

    assert sparse.seconds(1000, 1000) == 60.0
    assert crowded.seconds(10_000, 10_000) == 20.0


def test_the_time_of_reading_is_estimated_for_the_whole_table() -> None:
    reach = Crowd(40_960).count(Scope(ISSUER), is_long=True, calls=2_000)

    assert reach.extrapolated().reading == pytest.approx(reach.reading / reach.share)
    assert reach.reading > 0


def test_a_dry_run_without_time_for_one_sample_says_so() -> None:
    with pytest.raises(OutOfTime):
        Crowd(1_000_000).count(Scope(ISSUER), is_long=True, calls=-1)


def test_a_client_that_needs_sids_is_counted_with_a_token_for_each() -> None:
    class Many(Crowd):
        def of_provider(self, *_: object, **__: object) -> Page[RpSession, Any]:
            self.calls += 1
            found = [RpSession(client, "u0", NOW - 1, sid) for client in ("wiki", "mail") for sid in ("s1", "s2", "s3", None)]
            return Page(found if self.calls == 1 else [], None)

    needs_sid = replace(CLIENTS["mail"], backchannel_logout_session_required=True)

    reach = Many(1).count(Scope(ISSUER), clients={**CLIENTS, "mail": needs_sid})

    assert (reach.tokens, reach.released, reach.sessions) == ({"wiki": 1, "mail": 3}, 4, 8)


def test_clients_that_are_sent_nothing_are_shown_without_tokens() -> None:
    silent = replace(CLIENTS["mail"], own_tokens=False)

    reach = Crowd(10).count(Scope(ISSUER), clients={**CLIENTS, "mail": silent})

    assert (dict(reach.tokens), reach.released) == ({"wiki": 10, "mail": 0}, 10)


def test_a_listed_subject_of_a_provider_whose_recipients_are_all_is_a_token_for_each_client() -> None:
    reach = Crowd(0).count(Scope(ISSUER, None, ("ada", "bob")), everybody=("wiki", "mail"))

    assert (reach.tokens, reach.released) == ({"wiki": 2, "mail": 2}, 4)


def test_who_was_told_before_is_not_counted() -> None:
    class Ended(Crowd):
        def of_provider(self, *args: Any, **more: Any) -> Page[RpSession, Any]:
            page = super().of_provider(*args, **more)
            return Page([replace(each, ended_by="another") for each in page.items], page.cursor)

    assert Ended(100).count(Scope(ISSUER)).subjects == 0
