"""No token that was kept is lost, and none outlives its delivery: whatever comes between its receipt and its attempt."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.passing_on import TOKEN_EXPIRED, TOKEN_MISSING
from backchannel.deliveries.records import PassedOnToken, PlannedDelivery, Run
from backchannel.deliveries.table import CheckedOut
from backchannel.logouts.table import Logout
from backchannel.providers.clients import Client
from backchannel.providers.table import Recipients
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEnded, SessionEvent, logout_id
from backchannel.sessions.messages import EndMessage
from local.client import Stack
from tests.stack.test_sessions_stateful import STABLE
from tests.support.interleaving import Held, Tables, Task, Turn, Webhook, World, tables_of, taking_turns
from tests.support.recorded import all_of_logout
from tests.support.relayed import Relay, RelayIntake, TokenComes
from tests.support.scenarios import SUB, TURNS, WIKI, Happening, SessionEnds, Starts, SubjectEnds

pytestmark = pytest.mark.second

UNTRUSTING = replace(WIKI, own_tokens=False)
FIRST, SECOND = replace(UNTRUSTING, client_id="first"), replace(UNTRUSTING, client_id="second")
SID = "s1"
S1 = {"sub": SUB, "sid": SID}


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[Tables]:
    with taking_turns():
        yield tables_of(stack)


def world_of(tables: Tables, *clients: Client, recipients: Recipients = "sessions") -> World:
    began = round(time.time() * 1000)
    return World(tables, f"https://idp.example/{uuid.uuid4()}", began, clients, [], [], sweeps=False, recipients=recipients)


@pytest.fixture
def world(tables: Tables) -> World:
    return world_of(tables, UNTRUSTING, FIRST, SECOND)


def take(world: World, event: SessionEvent) -> None:
    world.intake.take(world.provider, [event], world.now())


def fan_out(world: World, held: Held, *, is_repeated: bool) -> Task:
    """Return a run of a fan-out that stands before its first step."""
    message = EndMessage.from_json(held.body)
    task = Task(
        held.body,
        lambda: world.fan_out.carry_out(message, now=world.now, time_is_short=lambda: False, is_repeated=is_repeated),
    )
    task.go_on()
    world.received.add(held.body)
    return task


def fan_out_all(world: World) -> None:
    """Carry out every end that waits, and none of what follows."""
    ends, world.ended.held = world.ended.held, []
    for held in ends:
        fan_out(world, held, is_repeated=False).finish()
    world.ended.held = []


def attempt(world: World, message: DeliveryMessage) -> Task:
    """Return an attempt before its first step."""
    task = Task(f"{message.logout_id}@0", lambda: world.worker.attempt(message))
    task.go_on()
    return task


def attempt_one(world: World) -> None:
    attempt(world, DeliveryMessage.from_json(world.to_deliver.held.pop().body)).finish()


def outcomes(world: World) -> dict[str, tuple[Status, str | None]]:
    """Return where the deliveries of the session's logout stand, by client."""
    found = all_of_logout(world.deliveries, logout_id(world.issuer, SessionEnded(SID, 0, "")))
    return {record.client_id: (record.status, record.last_code) for record in found}


def sent(world: World) -> list[str]:
    return [posted.claims["jti"] for posted in world.posted]


def kept(world: World) -> list[str]:
    """Return the tokens that are stored for this world."""
    dynamodb, name = world.tables.dynamodb, world.tables.deliveries
    pages = dynamodb.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    issuer = f'"{world.issuer}"'
    tokens = [item["token"]["S"] for page in pages for item in page["Items"] if "token" in item]
    return [token for token in tokens if issuer in str(Relay.claims(token)).replace("'", '"')]


ACCEPTED = (Status.ACCEPTED, "http_200")


# --- another logout takes the RP session between the receipt and the fan-out -------------------------------------------


def _taken_by_another_logout(world: World) -> list[Held]:
    """Have a token received for a session that is known, and all the user's sessions ended before its fan-out."""
    take(world, Starts("wiki", SID)(world.began - 5000))
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began, named=S1))
    waiting, world.ended.held = world.ended.held, []
    take(world, SubjectEnds(reason=Reason.ADMIN_LOGOUT)(world.now()))
    fan_out_all(world)
    return waiting


def test_a_token_is_sent_although_another_logout_took_its_session_before_the_fan_out(world: World) -> None:
    world.ended.held = _taken_by_another_logout(world)

    world.run()

    assert sent(world) == ["jti-1"]
    assert outcomes(world) == {"wiki": ACCEPTED}
    assert kept(world) == []


def test_a_run_that_dies_between_record_and_queue_of_a_kept_token_is_made_good_by_the_next(world: World) -> None:
    (end,) = _taken_by_another_logout(world)
    run = fan_out(world, end, is_repeated=False)
    run.go_to("SendMessageBatch")
    run.go_on(doomed=True)
    assert outcomes(world) == {"wiki": (Status.QUEUED, None)}
    world.ended.held = [end]

    world.run()

    assert sent(world) == ["jti-1"]
    assert outcomes(world) == {"wiki": ACCEPTED}


def test_a_second_token_is_sent_although_the_logout_was_done_and_another_took_its_session(world: World) -> None:
    relay = Relay(world)
    relay.send(relay.token("first", at=world.began, jti="jti-first", named=S1))
    fan_out_all(world)
    relay.send(relay.token("second", at=world.began, jti="jti-second", named=S1))
    waiting, world.ended.held = world.ended.held, []
    take(world, SubjectEnds(reason=Reason.ADMIN_LOGOUT)(world.now()))
    fan_out_all(world)
    world.ended.held = waiting

    world.run()

    assert sorted(sent(world)) == ["jti-first", "jti-second"]
    assert outcomes(world) == {"first": ACCEPTED, "second": ACCEPTED}


def test_where_all_clients_are_told_a_kept_token_is_sent_although_another_logout_took_the_session(tables: Tables) -> None:
    world = world_of(tables, UNTRUSTING, recipients="all_clients")
    world.ended.held = _taken_by_another_logout(world)

    world.run()

    assert sent(world) == ["jti-1"]
    assert outcomes(world) == {"wiki": ACCEPTED}


def test_a_client_that_trusts_our_keys_is_not_told_twice_where_another_logout_took_the_session(tables: Tables) -> None:
    world = world_of(tables, WIKI)
    world.ended.held = _taken_by_another_logout(world)

    world.run()

    assert len(world.posted) == 1
    assert "jti-1" not in sent(world)


WIKI_STARTS: Happening = (Starts("wiki", SID), 12_000)
WIKIS_TOKEN, FIRSTS_TOKEN = ((TokenComes(client_id, SID), None) for client_id in ("wiki", "first"))
OTHER_ENDS: list[Happening] = [
    (SubjectEnds(reason=Reason.ADMIN_LOGOUT), None),
    (SessionEnds(SID), None),
    (SubjectEnds("wiki", "another"), 3000),
]


@settings(STABLE, max_examples=15)
@given(
    st.lists(st.sampled_from([WIKI_STARTS, FIRSTS_TOKEN, WIKIS_TOKEN, *OTHER_ENDS]), max_size=3, unique=True).flatmap(
        lambda others: st.permutations([*others, WIKIS_TOKEN])
    ),
    TURNS,
    st.sampled_from(["sessions", "all_clients"]),
)
def test_in_whatever_order_and_whoever_dies_each_client_is_sent_its_token(
    tables: Tables, happenings: list[Happening], turns: list[Turn], recipients: Recipients
) -> None:
    world = world_of(tables, UNTRUSTING, FIRST, recipients=recipients)
    world.webhooks = [Webhook(event, None if before is None else world.began - before) for event, before in happenings]
    world.turns, world.sweeps = turns, True
    world._unsent = list(world.webhooks)
    world.intake = RelayIntake(world)

    world.run()

    hypothesis.note("\n".join(world.trace))
    for client_id in {event.client_id for event, _ in happenings if isinstance(event, TokenComes)}:
        assert f"jti-{client_id}" in sent(world)
        assert outcomes(world)[client_id] == ACCEPTED
    assert kept(world) == []


# --- several tokens ------------------------------------------------------------------------------------------------------


def test_two_tokens_at_once_are_sent_although_the_run_that_claimed_both_sessions_died(world: World) -> None:
    relay = Relay(world)
    for client_id in ("first", "second"):
        relay.send(relay.token(client_id, at=world.began, jti=f"jti-{client_id}", named=S1))
    one, other = world.ended.held
    world.ended.held = []
    dying = fan_out(world, one, is_repeated=False)
    dying.go_to("Query")
    while not _all_claimed(world):
        dying.go_on()
    dying.go_on(doomed=True)
    world.ended.held = [other]
    world.run()
    told = sent(world)

    world.ended.held = [one]
    world.run()

    assert (told, sorted(sent(world))) == (["jti-second"], ["jti-first", "jti-second"])
    assert outcomes(world) == {"first": ACCEPTED, "second": ACCEPTED}


def _all_claimed(world: World) -> bool:
    found = world.sessions.of_session(world.issuer, SID, after=None, limit=9, now=world.now()).items
    return all(session.ended_by is not None for session in found)


def test_a_token_with_two_audiences_is_sent_to_both(world: World) -> None:
    relay = Relay(world)
    relay.send(relay.token("first", "second", at=world.began, named=S1))

    world.run()

    assert sent(world) == ["jti-1", "jti-1"]
    assert outcomes(world) == {"first": ACCEPTED, "second": ACCEPTED}


@pytest.mark.parametrize("status", [Status.UNDELIVERABLE, Status.REJECTED, Status.SUPPRESSED])
def test_a_token_that_comes_after_its_delivery_has_ended_without_it_is_sent(tables: Tables, status: Status) -> None:
    world = world_of(tables, UNTRUSTING)
    take(world, Starts("wiki", SID)(world.began - 5000))
    take(world, SessionEnds(SID)(world.began + 999))
    fan_out_all(world)
    _settle(world, status)
    world.to_deliver.held = []
    relay = Relay(world)

    relay.send(relay.token("wiki", at=world.began, lives=3600, named=S1))
    world.run()

    assert sent(world) == ["jti-1"]
    assert outcomes(world) == {"wiki": ACCEPTED}
    assert kept(world) == []


def _settle(world: World, status: Status) -> None:
    begun = _check_out(world)
    assert world.deliveries.settle(begun, Outcome(status, TOKEN_MISSING), world.now())


def _check_out(world: World) -> CheckedOut:
    message = DeliveryMessage("interleaved", logout_id(world.issuer, SessionEnded(SID, 0, "")), "wiki", SID)
    begun = world.deliveries.check_out(message, world.now())
    assert isinstance(begun, CheckedOut)
    return begun


def test_a_token_that_comes_while_its_delivery_is_given_up_is_sent(world: World) -> None:
    take(world, Starts("wiki", SID)(world.began - 5000))
    take(world, SessionEnds(SID)(world.began))
    fan_out_all(world)
    (held,) = world.to_deliver.held
    world._leapt += 120_000
    giving_up = attempt(world, DeliveryMessage.from_json(held.body))
    giving_up.go_to("UpdateItem")  # the one that settles it
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began + 120_000, named=S1))
    giving_up.finish()

    world.run()

    assert sent(world) == ["jti-1"]
    assert outcomes(world) == {"wiki": ACCEPTED}


def test_the_end_of_another_login_in_the_same_session_is_told_within_a_minute_too(world: World) -> None:
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began, jti="jti-1", named=S1))
    world.run()
    world._leapt += 30_000
    take(world, Starts("wiki", SID)(world.now()))
    world._leapt += 5000

    relay.send(relay.token("wiki", at=world.now(), jti="jti-2", named=S1))
    world.run()

    assert sent(world) == ["jti-1", "jti-2"]
    assert outcomes(world) == {"wiki": ACCEPTED}


@pytest.mark.parametrize("after", [30_000, 90_000], ids=["within a minute", "later"])
@pytest.mark.parametrize("client", [UNTRUSTING, WIKI], ids=["the provider's tokens alone", "ours, too"])
def test_another_token_about_a_session_is_sent_though_nobody_reported_another_login(
    tables: Tables, client: Client, after: int
) -> None:
    world = world_of(tables, client)
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began, jti="jti-1", named=S1))
    world.run()
    world._leapt += after

    relay.send(relay.token("wiki", at=world.now(), jti="jti-2", named=S1))
    world.run()

    assert sent(world) == ["jti-1", "jti-2"]
    assert (outcomes(world), kept(world)) == ({"wiki": ACCEPTED}, [])


@pytest.mark.parametrize("after", [0, 1000, 30_000])
def test_a_token_that_comes_again_is_sent_once(world: World, after: int) -> None:
    relay = Relay(world)
    token = relay.token("wiki", at=world.began, named=S1)
    relay.send(token)
    world.run()
    world._leapt += after

    relay.send(token)
    world.run()

    assert sent(world) == ["jti-1"]
    assert (outcomes(world), kept(world)) == ({"wiki": ACCEPTED}, [])


def test_where_all_clients_are_told_a_token_that_was_sent_before_its_start_is_seen_stays_accepted(tables: Tables) -> None:
    world = world_of(tables, FIRST, SECOND, recipients="all_clients")
    relay = Relay(world)
    relay.send(relay.token("first", at=world.began, jti="jti-first", named=S1))
    fan_out_all(world)
    relay.send(relay.token("second", at=world.began, jti="jti-second", named=S1))
    late, world.ended.held = world.ended.held, []
    while world.to_deliver.held:
        attempt_one(world)
    assert outcomes(world) == {"first": ACCEPTED, "second": ACCEPTED}
    world.ended.held = late

    world.run()

    assert sorted(sent(world)) == ["jti-first", "jti-second"]
    assert outcomes(world) == {"first": ACCEPTED, "second": ACCEPTED}


def test_a_client_that_was_unaddressable_without_its_token_is_sent_it(tables: Tables) -> None:
    world = world_of(tables, FIRST, replace(SECOND, subject="sub_only"), recipients="all_clients")
    relay = Relay(world)
    relay.send(relay.token("first", at=world.began, jti="jti-first", named=S1))
    world.run()
    assert outcomes(world)["second"][0] is Status.UNADDRESSABLE

    relay.send(relay.token("second", at=world.began, lives=3600, jti="jti-second", named=S1))
    world.run()

    assert sorted(sent(world)) == ["jti-first", "jti-second"]
    assert outcomes(world) == {"first": ACCEPTED, "second": ACCEPTED}


# --- what a token names, and how it ends ---------------------------------------------------------------------------------


def test_a_token_with_sub_alone_is_passed_on_to_a_client_that_needs_sid(tables: Tables) -> None:
    world = world_of(tables, replace(WIKI, backchannel_logout_session_required=True))
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began, named={"sub": SUB}))

    world.run()

    assert sent(world) == ["jti-1"]
    assert kept(world) == []


def test_a_token_is_about_its_session_whoever_it_was_reported_for(world: World) -> None:
    take(world, replace(Starts("wiki", SID)(world.began - 5000), sub="the provider's", client_sub="pairwise"))
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began, named={"sub": "pairwise", "sid": SID}))

    world.run()

    assert sent(world) == ["jti-1"]
    assert outcomes(world) == {"wiki": ACCEPTED}


def test_a_token_beside_a_later_login_in_its_session_is_superseded_and_gone(world: World) -> None:
    relay = Relay(world)
    take(world, Starts("wiki", SID)(world.began - 1))
    relay.send(relay.token("wiki", at=world.began - 60_000, lives=3600, named=S1))

    world.run()

    assert sent(world) == []
    assert outcomes(world) == {"wiki": (Status.SUPERSEDED, "newer_session")}
    assert kept(world) == []


def test_a_client_that_does_not_want_to_hear_of_logouts_is_sent_nothing_and_its_token_is_gone(tables: Tables) -> None:
    world = world_of(tables, replace(UNTRUSTING, logout_reasons=(Reason.USER_DELETED,)))
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began, named=S1))

    world.run()

    assert sent(world) == []
    assert outcomes(world) == {"wiki": (Status.SUPPRESSED, "logout")}
    assert kept(world) == []


@pytest.mark.parametrize("status", [status for status in Status if status not in {Status.QUEUED, Status.RETRYING}])
def test_a_token_is_gone_with_every_final_status(world: World, status: Status) -> None:
    run = Run("interleaved", world.issuer, uuid.uuid4().hex, "run", world.began)
    relay = Relay(world)
    passed = PassedOnToken(relay.token("wiki", at=world.began, named=S1), world.began + 120_000, world.began)
    world.deliveries.pass_on(run.logout_id, "wiki", SID, passed, is_anew=True, keep_until=world.began + 120_000)
    world.deliveries.record(run, PlannedDelivery("wiki", SID, SUB), world.now())
    begun = world.deliveries.check_out(DeliveryMessage("interleaved", run.logout_id, "wiki", SID), world.now())
    assert isinstance(begun, CheckedOut)
    assert kept(world) == [passed.token]

    assert world.deliveries.settle(begun, Outcome(status, "code"), world.now())

    assert kept(world) == []


def test_what_is_sent_again_after_its_token_ran_out_waits_for_another_in_vain(world: World) -> None:
    relay = Relay(world)
    relay.send(relay.token("wiki", at=world.began, lives=20, named=S1))
    fan_out_all(world)
    world._leapt += 11_000
    attempt_one(world)
    assert outcomes(world) == {"wiki": (TOKEN_EXPIRED.status, TOKEN_EXPIRED.code)}
    (record,) = all_of_logout(world.deliveries, logout_id(world.issuer, SessionEnded(SID, 0, "")))

    assert world.deliveries.reopen(record, world.now())
    world.to_deliver.held = [Held(record.message.to_json())]
    world.run()

    assert sent(world) == []
    assert outcomes(world) == {"wiki": (Status.UNDELIVERABLE, TOKEN_MISSING)}


def test_a_logout_shows_nothing_of_a_token(world: World) -> None:
    relay = Relay(world)
    token = relay.token("wiki", at=world.began, named=S1)
    relay.send(token)
    fan_out_all(world)

    found = world.logouts.find(logout_id(world.issuer, SessionEnded(SID, 0, "")))

    assert isinstance(found, Logout)
    assert token not in repr((found, list(all_of_logout(world.deliveries, found.logout_id))))
    assert token not in str(world.to_deliver.held) + str(world.ended.held)
