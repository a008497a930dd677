from itertools import product

import pytest

from backchannel.sessions.events import Ended, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession, is_covered

AT = 1_788_256_800_000
BEFORE, LATER = AT - 1, AT + 1


def covered_by(event: Ended) -> set[tuple[str, int]]:
    """Return the RP sessions that an end covers, by client and start."""
    found = [
        RpSession(client_id, "ada", started_at, "s1") for client_id, started_at in product(("wiki", "mail"), (BEFORE, AT, LATER))
    ]
    return {(each.client_id, each.started_at) for each in found if is_covered(each, event)}


def test_the_end_of_a_session_covers_whatever_belongs_to_it() -> None:
    assert covered_by(SessionEnded("s1", AT, "end")) == set(product(("wiki", "mail"), (BEFORE, AT, LATER)))


def test_the_end_of_a_subjects_sessions_covers_what_began_until_then() -> None:
    assert covered_by(SubjectSessionsEnded("ada", AT, "end")) == set(product(("wiki", "mail"), (BEFORE, AT)))


@pytest.mark.parametrize("event", [SessionEnded("s1", AT, "end", "wiki"), SubjectSessionsEnded("ada", AT, "end", "wiki")])
def test_an_end_at_one_client_covers_what_began_there_until_then(event: Ended) -> None:
    assert covered_by(event) == {("wiki", BEFORE), ("wiki", AT)}
