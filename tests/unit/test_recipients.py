from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import PlannedDelivery
from backchannel.logouts.recipients import delivery_without_session, planned_deliveries
from backchannel.providers.clients import Client
from backchannel.sessions.events import CLOCK_TOLERANCE, Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession, has_newer_login, is_covered

AT = 1_788_256_800_000
SESSION = SessionEnded("sid-1", AT, "e1")
SUBJECT = SubjectSessionsEnded("ada", AT, "e1")
WIKI = RpSession("wiki", "ada", AT - 1000, "sid-1")

few = st.sampled_from(["a", "b", "c"])
sessions = st.builds(
    RpSession,
    client_id=few,
    sub=st.just("ada"),
    started_at=st.integers(AT - 2, AT + 2),
    sid=st.none() | few,
)
ends: st.SearchStrategy[Ended] = st.builds(
    SubjectSessionsEnded, sub=st.just("ada"), ended_at=st.just(AT), source_event_id=few, client_id=st.none() | few
) | st.builds(SessionEnded, sid=few, ended_at=st.just(AT), source_event_id=few, client_id=st.none() | few)


def test_the_end_of_a_session_gives_each_of_its_clients_a_token_with_sub_and_sid() -> None:
    mail = replace(WIKI, client_id="mail", client_sub="pairwise-7")

    found = planned_deliveries(SESSION, [WIKI, mail], sid_required=())

    assert found == [PlannedDelivery("wiki", "sid-1", "ada"), PlannedDelivery("mail", "sid-1", "ada", "pairwise-7")]


def test_the_end_of_a_subjects_sessions_gives_each_client_one_token_for_all_of_them() -> None:
    found = planned_deliveries(SUBJECT, [WIKI, replace(WIKI, sid="sid-2"), replace(WIKI, client_id="mail")], sid_required=())

    assert found == [PlannedDelivery("wiki", None, "ada"), PlannedDelivery("mail", None, "ada")]


def test_a_client_that_insists_on_sid_gets_one_token_for_each_session() -> None:
    found = planned_deliveries(
        SUBJECT, [WIKI, replace(WIKI, sid="sid-2"), replace(WIKI, client_id="mail")], sid_required={"wiki"}
    )

    assert found == [
        PlannedDelivery("wiki", "sid-1", "ada"),
        PlannedDelivery("wiki", "sid-2", "ada"),
        PlannedDelivery("mail", None, "ada"),
    ]


def test_a_client_that_insists_on_a_sid_that_nobody_knows_is_unaddressable() -> None:
    found = planned_deliveries(SUBJECT, [replace(WIKI, sid=None)], sid_required={"wiki"})

    assert found == [PlannedDelivery("wiki", None, "ada", status=Status.UNADDRESSABLE)]


def test_the_session_that_can_be_told_is_told_beside_the_one_that_cannot() -> None:
    found = planned_deliveries(SUBJECT, [replace(WIKI, sid=None), WIKI], sid_required={"wiki"})

    assert {(delivery.sid, delivery.status) for delivery in found} == {
        (None, Status.UNADDRESSABLE),
        ("sid-1", Status.QUEUED),
    }


def test_the_end_of_a_session_covers_a_login_as_far_after_it_as_clocks_may_differ() -> None:
    assert is_covered(replace(WIKI, started_at=AT + CLOCK_TOLERANCE), SESSION)


def test_a_later_login_lives_although_its_sid_was_ended() -> None:
    later = replace(WIKI, started_at=AT + CLOCK_TOLERANCE + 1)

    assert not is_covered(later, SESSION)
    assert has_newer_login(later, SESSION)


def test_a_start_without_a_time_of_its_own_belongs_to_the_session_that_ended() -> None:
    untimed = replace(WIKI, started_at=AT + 60_000, untimed=True)

    assert is_covered(untimed, SESSION)
    assert not has_newer_login(untimed, SESSION)
    assert not is_covered(untimed, SUBJECT)


def test_a_newer_login_does_not_hide_an_older_one_from_its_end() -> None:
    both = replace(WIKI, started_at=AT + 60_000, logged_in_since=AT - 1)

    assert is_covered(both, SUBJECT)
    assert has_newer_login(both, SUBJECT)
    assert is_covered(both, SESSION)


def test_the_end_of_a_subjects_sessions_spares_a_newer_login() -> None:
    assert is_covered(replace(WIKI, started_at=AT), SUBJECT)
    assert not is_covered(replace(WIKI, started_at=AT + 1), SUBJECT)


def test_the_end_of_a_clients_part_spares_the_other_clients_and_a_newer_login() -> None:
    event = replace(SESSION, client_id="wiki")

    assert is_covered(WIKI, event)
    assert not is_covered(replace(WIKI, client_id="mail"), event)
    assert not is_covered(replace(WIKI, started_at=AT + 1), event)


@given(ends, sessions)
def test_an_end_at_one_client_covers_no_more_than_the_end_at_all(event: Ended, session: RpSession) -> None:
    at_all_clients = replace(event, client_id=None)

    assert not is_covered(session, event) or is_covered(session, at_all_clients)
    assert not is_covered(session, event) or event.client_id in {None, session.client_id}


@given(st.lists(sessions, max_size=8), st.frozensets(few))
def test_no_client_is_forgotten_and_none_is_told_twice(found: list[RpSession], sid_required: frozenset[str]) -> None:
    told = planned_deliveries(SUBJECT, found, sid_required)

    assert {delivery.client_id for delivery in told} == {session.client_id for session in found}
    assert len({(delivery.client_id, delivery.sid) for delivery in told}) == len(told)


@given(st.lists(sessions, max_size=8), st.frozensets(few))
def test_a_token_without_sid_goes_only_to_clients_that_can_do_without(
    found: list[RpSession], sid_required: frozenset[str]
) -> None:
    for delivery in planned_deliveries(SUBJECT, found, sid_required):
        is_without_sid = delivery.client_id in sid_required and delivery.sid is None

        assert (delivery.status is Status.UNADDRESSABLE) == is_without_sid


@given(st.lists(sessions, max_size=8), st.frozensets(few))
def test_every_sid_in_a_token_is_one_that_its_client_has(found: list[RpSession], sid_required: frozenset[str]) -> None:
    known = {(session.client_id, session.sid) for session in found}

    for event in (SESSION, SUBJECT):
        for delivery in planned_deliveries(event, found, sid_required):
            assert delivery.sid is None or (delivery.client_id, delivery.sid) in known


@given(st.lists(sessions, max_size=8, unique_by=lambda session: session.client_id), st.frozensets(few))
def test_the_order_in_which_sessions_are_found_makes_no_difference(found: list[RpSession], sid_required: frozenset[str]) -> None:
    told = planned_deliveries(SUBJECT, found, sid_required)

    assert set(told) == set(planned_deliveries(SUBJECT, reversed(found), sid_required))


KNOWN = replace(WIKI, client_sub="pairwise-7")


def test_a_delivery_by_sid_says_which_rp_session_the_sid_stands_for() -> None:
    mail = replace(KNOWN, client_id="mail", started_at=AT - 2000)

    assert [each.started_at for each in planned_deliveries(SESSION, [KNOWN, mail], ())] == [AT - 1000, AT - 2000]
    assert [each.started_at for each in planned_deliveries(SUBJECT, [KNOWN, mail], {"wiki", "mail"})] == [AT - 1000, AT - 2000]


def test_a_delivery_for_all_sessions_of_a_subject_stands_for_none_of_them() -> None:
    (told,) = planned_deliveries(SUBJECT, [KNOWN, replace(KNOWN, sid="sid-2")], ())

    assert (told.sid, told.started_at) == (None, None)


def test_a_client_is_told_of_the_subject_by_the_name_that_it_knows() -> None:
    for event, sid_required in ((SESSION, ()), (SUBJECT, ()), (SUBJECT, {"wiki"})):
        (told,) = planned_deliveries(event, [KNOWN], sid_required)

        assert (told.sub, told.client_sub) == ("ada", "pairwise-7")


CLIENT = Client("wiki")


@pytest.mark.parametrize(
    ("event", "client", "expected"),
    [
        (SUBJECT, CLIENT, PlannedDelivery("wiki", None, "ada")),
        (SUBJECT, replace(CLIENT, subject="sub_only"), PlannedDelivery("wiki", None, "ada")),
        (SUBJECT, replace(CLIENT, subject="sid_only"), PlannedDelivery("wiki", None, "ada", status=Status.UNADDRESSABLE)),
        (
            SUBJECT,
            replace(CLIENT, backchannel_logout_session_required=True),
            PlannedDelivery("wiki", None, "ada", status=Status.UNADDRESSABLE),
        ),
        (SESSION, CLIENT, PlannedDelivery("wiki", "sid-1", None)),
        (SESSION, replace(CLIENT, subject="sid_only"), PlannedDelivery("wiki", "sid-1", None)),
        (SESSION, replace(CLIENT, subject="sub_only"), PlannedDelivery("wiki", "sid-1", None, status=Status.UNADDRESSABLE)),
    ],
)
def test_a_client_without_a_known_session_is_told_by_what_the_end_names(
    event: Ended, client: Client, expected: PlannedDelivery
) -> None:
    assert delivery_without_session(event, client) == expected
