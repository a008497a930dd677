from dataclasses import replace

from backchannel.logouts.recipients import planned_deliveries
from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession

AT = 1_788_256_800_000
WIKI = RpSession("wiki", "ada", AT - 1000, "sid-1", "pairwise-7")
SESSION = SessionEnded("sid-1", AT, "e1")
SUBJECT = SubjectSessionsEnded("ada", AT, "e1")


def test_a_delivery_by_sid_says_which_rp_session_the_sid_stands_for() -> None:
    mail = replace(WIKI, client_id="mail", started_at=AT - 2000)

    assert [each.started_at for each in planned_deliveries(SESSION, [WIKI, mail], ())] == [AT - 1000, AT - 2000]
    assert [each.started_at for each in planned_deliveries(SUBJECT, [WIKI, mail], {"wiki", "mail"})] == [AT - 1000, AT - 2000]


def test_a_delivery_for_all_sessions_of_a_subject_stands_for_none_of_them() -> None:
    (told,) = planned_deliveries(SUBJECT, [WIKI, replace(WIKI, sid="sid-2")], ())

    assert (told.sid, told.started_at) == (None, None)


def test_a_client_is_told_of_the_subject_by_the_name_that_it_knows() -> None:
    for event, sid_required in ((SESSION, ()), (SUBJECT, ()), (SUBJECT, {"wiki"})):
        (told,) = planned_deliveries(event, [WIKI], sid_required)

        assert (told.sub, told.client_sub) == ("ada", "pairwise-7")
