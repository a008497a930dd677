"""Whom a mass logout is about: every login until its moment, each in one logout, and none that is later."""

import pytest

from backchannel.api.mass_logout_bodies import shown
from backchannel.logouts.mass.records import Entry, MassCounts, MassLogout, Scope, Totals, entries
from backchannel.reasons import Reason
from backchannel.sessions.events import MassEnd, SessionEnded, SubjectSessionsEnded, logout_id
from backchannel.sessions.rp_sessions import RpSession, end_in_mass

ISSUER, NOW = "https://idp.example", 1_788_256_800_000
END = MassEnd(NOW, "mass", None, Reason.COMPROMISED)
MERE = MassEnd(NOW, "mass", None, Reason.LOGOUT)


def session(client_id: str = "wiki", sub: str = "ada", at: int = NOW - 1, sid: str | None = "s1", **more: object) -> RpSession:
    return RpSession(client_id, sub, at, sid, **more)  # type: ignore[arg-type]


def test_the_sessions_of_a_subject_are_one_logout_with_a_token_for_each_client() -> None:
    found = [session(), session("mail"), session(sid="s2"), session(sub="bob", sid=None)]

    assert entries(found, END, None) == [Entry("ada", None, {"wiki": 2, "mail": 1}, 3), Entry("bob", None, {"wiki": 0}, 1)]


def test_a_session_whose_subject_nobody_knows_is_a_logout_of_its_own_at_its_client() -> None:
    found = [session(sub=""), session("mail", sub="")]

    listed = entries(found, END, None)

    assert [each.end(END) for each in listed] == [
        SessionEnded("s1", NOW, "mass", "wiki", Reason.COMPROMISED),
        SessionEnded("s1", NOW, "mass", "mail", Reason.COMPROMISED),
    ]


def test_a_subject_at_the_end_of_one_page_is_not_counted_again_on_the_next() -> None:
    assert entries([session(sid="s3"), session(sub="bob")], END, "ada") == [Entry("bob", None, {"wiki": 1}, 1)]


@pytest.mark.parametrize("at", [NOW + 1, NOW + 4_000])
@pytest.mark.parametrize(("sub", "untimed"), [("ada", False), ("ada", True), ("", False), ("", True)])
def test_a_later_login_lives_however_near_it_is(at: int, sub: str, untimed: bool) -> None:  # noqa: FBT001 - drawn
    assert entries([session(sub=sub, at=at, untimed=untimed)], END, None) == []


def test_an_older_login_in_a_session_that_goes_on_is_ended() -> None:
    assert len(entries([session(at=NOW + 9, logged_in_since=NOW - 9)], END, None)) == 1


@pytest.mark.parametrize(
    ("end", "reason", "is_told"),
    [
        (END, None, True),
        (END, Reason.COMPROMISED, True),
        (MERE, None, False),
        (MERE, Reason.LOGOUT, False),
        (MERE, Reason.EXPIRED, True),
    ],
)
def test_what_another_logout_took_care_of_is_told_again_as_by_any_end(
    end: MassEnd,
    reason: Reason | None,
    is_told: bool,  # noqa: FBT001 - a row of the table
) -> None:
    assert bool(entries([session(ended_by="another", ended_at=NOW - 1, reason=reason)], end, None)) == is_told


def test_the_end_that_a_late_start_finds_is_the_logout_that_is_released() -> None:
    for each in (session(), session(sub=""), session(sid=None)):
        (entry,) = entries([each], END, None)

        assert logout_id(ISSUER, entry.end(END)) == logout_id(ISSUER, end_in_mass(each, END))


def test_a_mass_logout_at_one_client_ends_nothing_elsewhere() -> None:
    end = MassEnd(NOW, "mass", "wiki", Reason.COMPROMISED)

    (entry,) = entries([session(), session("mail")], end, None)

    assert entry.end(end) == SubjectSessionsEnded("ada", NOW, "mass", "wiki", Reason.COMPROMISED)


def test_the_same_scope_has_the_same_name_in_whichever_order_its_subjects_come() -> None:
    names = {Scope(ISSUER, None, ("a", "b")).name, Scope(ISSUER, None, ("b", "a")).name}
    others = {
        Scope(ISSUER).name,
        Scope(ISSUER, "wiki").name,
        Scope("https://other.example").name,
        Scope(ISSUER, None, ("a",)).name,
    }

    assert len(names) == 1
    assert len(names | others) == 5


def test_totals_are_shown_by_status_and_by_client() -> None:
    mass = MassLogout("id", "acme", ISSUER, "scope", NOW, NOW, Reason.COMPROMISED, 10, 5, "arn")
    tally: MassCounts = Totals().tally
    tally.update({"found subjects": 3, "found sessions": 5, "released subjects": 2, "released sessions": 4, "fanned_out": 1})
    tally.update({"accepted wiki": 2, "accepted my mail": 1, "retrying my mail": 4})

    view = shown(mass, Totals(tally))

    assert view.deliveries == {"accepted": 3, "retrying": 4}
    assert view.clients == {"wiki": {"accepted": 2}, "my mail": {"accepted": 1, "retrying": 4}}
    assert (view.found.subjects, view.released.sessions, view.fanned_out) == (3, 4, 1)
