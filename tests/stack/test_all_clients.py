"""Providers without starts: every client is told of an end."""

import time
import uuid
from collections.abc import Iterator

import pytest

from backchannel.sessions.events import SessionEvent
from backchannel.sessions.messages import EndMessage
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.interleaving import Tables, Task, World, tables_of, taking_turns
from tests.support.provider import Provider
from tests.support.scenarios import CLIENTS, SUB, SessionEnds, Starts, SubjectEnds
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.second


@pytest.fixture
def all_clients(provider: Provider) -> Provider:
    provider.put("", {"issuer": provider.issuer, "recipients": "all_clients"})
    return provider


def test_without_any_start_each_client_is_told_of_a_users_end(all_clients: Provider, relying_party: MakeRelyingParty) -> None:
    rps = [relying_party() for _ in range(3)]
    client_ids = [all_clients.register_client(rp) for rp in rps]
    sub = new_id("sub")

    logout = all_clients.end_subject(sub)
    found = all_clients.wait_until(logout, "accepted", "accepted", "accepted")

    assert {each["client_id"] for each in found} == {*client_ids}
    for rp in rps:
        claims = verified(all_clients, *rp.tokens).claims
        assert (claims["sub"], "sid" in claims) == (sub, False)


def test_a_client_whose_start_is_known_is_told_once(all_clients: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    known, unknown = relying_party(), relying_party()
    sub, sid = new_id("sub"), new_id("sid")
    all_clients.start(all_clients.register_client(known), sub=sub, sid=sid)
    all_clients.register_client(unknown)

    of_session = all_clients.end_session(sid)
    all_clients.wait_until(of_session, "accepted", "accepted")
    of_subject = all_clients.end_subject(sub)
    all_clients.wait_until(of_subject, "accepted", "accepted")
    aws.wait_until_handled(all_clients.name)

    assert (len(known.tokens), len(unknown.tokens)) == (2, 2)  # one for each of the two logouts
    assert [each["matched"] for each in (all_clients.get(f"/logouts/{of_session}"),)] == [1]


def test_each_client_gets_what_it_can_use_or_none(all_clients: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    both = all_clients.register_client(rp)
    sub_only = all_clients.register_client(rp, subject="sub_only")
    sid_only = all_clients.register_client(rp, subject="sid_only")
    required = all_clients.register_client(rp, backchannel_logout_session_required=True)
    all_clients.put("/clients/none", {})

    sid = new_id("sid")
    by_sid = all_clients.wait_until(all_clients.end_session(sid), *["accepted"] * 3, "unaddressable")
    by_sub = all_clients.wait_until(all_clients.end_subject(new_id("sub")), *["accepted"] * 2, *["unaddressable"] * 2)

    told = {"sid": {each["client_id"] for each in by_sid if each["status"] == "accepted"}}
    told["sub"] = {each["client_id"] for each in by_sub if each["status"] == "accepted"}
    assert told == {"sid": {both, sid_only, required}, "sub": {both, sub_only}}


def test_an_end_at_one_client_is_told_to_that_client_alone(all_clients: Provider, relying_party: MakeRelyingParty) -> None:
    rp, other = relying_party(), relying_party()
    client_id = all_clients.register_client(rp)
    all_clients.register_client(other)

    logout = all_clients.end_subject(new_id("sub"), client_id=client_id)

    (told,) = all_clients.wait_until(logout, "accepted")
    assert (told["client_id"], other.requests) == (client_id, [])


def test_the_operator_tells_nobody_again_who_has_accepted(all_clients: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    all_clients.register_client(rp)
    sid = new_id("sid")
    logout = all_clients.end_session(sid)
    all_clients.wait_until(logout, "accepted")

    all_clients.post("/logouts", {"sid": sid})
    time.sleep(2)

    all_clients.wait_until(logout, "accepted")
    assert len(rp.tokens) == 1


# --- a run that dies ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns():
        yield tables_of(stack)


@pytest.mark.parametrize("end", [SubjectEnds(), SessionEnds("s1")], ids=["of a subject", "of a session"])
@pytest.mark.parametrize("impatient", [False, True], ids=["in one go", "page by page"])
def test_a_run_that_dies_anywhere_is_finished_and_tells_nobody_twice(
    tables: Tables,
    end: SubjectEnds | SessionEnds,
    impatient: bool,  # noqa: FBT001 - a row of the table
) -> None:
    after, died = 0, True
    while died:
        world = World(
            tables,
            f"https://idp.example/{uuid.uuid4()}",
            round(time.time() * 1000),
            CLIENTS,
            [],
            [],
            impatient=impatient,
            sweeps=False,
            recipients="all_clients",
        )
        take(world, Starts("wiki", "s1")(world.began - 9000))
        take(world, end(world.began - 8000))

        died = dies(world, after)
        world.run()

        told = sorted(posted.client_id for posted in world.posted)
        # mail needs a sid, chat takes none
        assert told == (["chat", "wiki"] if isinstance(end, SubjectEnds) else ["mail", "wiki"]), after
        assert all(posted.claims.get("sub") in {SUB, None} for posted in world.posted)
        after += 1
    assert after > 10


def take(world: World, event: SessionEvent) -> None:
    world.intake.take(world.provider, [event], world.now())


def dies(world: World, after: int) -> bool:
    """Carry out the one end, and die after so many steps; False if it ends before. Its message comes again."""
    (held,) = world.ended.held
    message = EndMessage.from_json(held.body)
    world.received.add(held.body)
    task = Task(held.body, lambda: world.fan_out.carry_out(message, now=world.now, time_is_short=lambda: world.impatient))
    task.go_on()
    for _ in range(after):
        if task.finished:
            return False
        task.go_on()
    if not task.finished:
        task.go_on(doomed=True)
    return True
