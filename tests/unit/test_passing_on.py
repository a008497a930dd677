"""A token of the provider's is sent as it is, while it is valid; what comes after depends on the client."""

import base64
import json
from dataclasses import replace

import pytest

from backchannel.deliveries.history import PastAttempt, with_attempt
from backchannel.deliveries.outcomes import RETRY_SCHEDULE, Outcome, Status
from backchannel.deliveries.passing_on import TOKEN_EXPIRED, WAIT_FOR_TOKEN, Passing, attempts_since, passing
from backchannel.deliveries.records import DeliveryRecord, PassedOnToken
from backchannel.deliveries.table import CheckedOut
from backchannel.egress.post import Response
from backchannel.errors import SigningUnavailable, TlsFailed
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.reasons import Reason
from backchannel.tokens.jws import encode
from tests.unit.conftest import Log
from tests.unit.test_worker import BEGUN_ANEW, ENDED_AT, NEWER, NOW, RECORD, SUBJECT_WIDE, WIKI, FakeSessions, WorkerWorld

UNTRUSTING = replace(WIKI, own_tokens=False)
NO_KEYS = Provider("idp", "https://idp.example/", ())
MINUTES = 110_000 + 10_000


def _token(**claims: str) -> str:
    return ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "RS256"}, claims)) + ".c2lnbmF0dXJl"


TOKEN = _token(sub="subject-ada", sid="session-of-ada")


def _begun(record: DeliveryRecord = RECORD, token: str = TOKEN, *, lives: int | None = MINUTES) -> CheckedOut:
    passed = PassedOnToken(token, None if lives is None else record.created_at + lives, record.ended_at)
    return CheckedOut(replace(record, passed_on=passed), "lease-1")


def _world(
    begun: CheckedOut, client: Client = UNTRUSTING, result: object = None, sessions: FakeSessions | None = None
) -> WorkerWorld:
    # No key, and KMS does not answer: nothing of ours is needed.
    return WorkerWorld(
        begun=begun,
        client=client,
        provider=NO_KEYS,
        current_provider=NO_KEYS,
        signing_fault=SigningUnavailable("down"),
        result=result,  # type: ignore[arg-type] # either of the two
        sessions=sessions,
    )


@pytest.mark.parametrize("client", [UNTRUSTING, WIKI])
def test_the_token_is_sent_as_it_is_without_a_key_of_ours(client: Client, log: Log) -> None:
    world = _world(_begun(), client)

    world.attempt()

    assert [body for _, body, _ in world.egress.posts] == [b"logout_token=" + TOKEN.encode()]
    assert world.outcome == Outcome(Status.ACCEPTED, "http_200")
    assert TOKEN not in log.text
    passed = passing(_begun().record, client, NOW)
    assert isinstance(passed, Passing)
    assert TOKEN not in repr((_begun(), passed))


def _response(status: int) -> Response:
    return Response(status, None, b"", None, "192.0.2.1")


@pytest.mark.parametrize(("attempts", "age", "seconds"), [(0, 0, 5), (1, 5, 10), (2, 15, 20), (3, 35, 40), (4, 75, 35)], ids=str)
def test_the_schedule_fits_into_a_life_of_two_minutes(attempts: int, age: int, seconds: int) -> None:
    record = replace(RECORD, created_at=NOW - age * 1000, attempts=attempts)
    world = _world(_begun(record), result=_response(503))

    world.attempt()

    assert world.outcome.status is Status.RETRYING
    assert world.outcome.delay is not None
    assert 0.8 * seconds * 1000 <= world.outcome.delay <= 1.2 * seconds * 1000
    assert world.outcome.delay + age * 1000 <= 107_000, "not so late that the token cannot be sent any more"


def test_a_token_of_an_hour_is_tried_on_the_usual_schedule() -> None:
    record = replace(RECORD, created_at=NOW - 35_000, attempts=2)
    world = _world(_begun(record, lives=3_600_000), result=_response(503))

    world.attempt()

    assert world.outcome.delay is not None
    assert 0.8 * RETRY_SCHEDULE[2] <= world.outcome.delay <= 1.2 * RETRY_SCHEDULE[2]


@pytest.mark.parametrize("lives", [1000 + 9_999, 5_000, 0])
def test_a_token_that_has_run_out_is_not_sent(lives: int) -> None:
    world = _world(_begun(lives=lives))

    world.attempt()

    assert world.egress.posts == []
    assert world.outcome == TOKEN_EXPIRED == Outcome(Status.UNDELIVERABLE, "passed_on_token_expired")


def test_the_last_attempt_before_the_token_runs_out_ends_the_delivery() -> None:
    record = replace(RECORD, created_at=NOW - 109_000, attempts=5)
    world = _world(_begun(record), result=_response(503))

    world.attempt()

    assert world.outcome == TOKEN_EXPIRED
    assert world.answered is not None
    assert world.answered.status_code == 503


def test_where_nothing_could_be_sent_the_delivery_is_blocked() -> None:
    record = replace(RECORD, created_at=NOW - 109_000, attempts=5)
    world = _world(_begun(record), result=TlsFailed("expired"))

    world.attempt()

    assert world.outcome == Outcome(Status.BLOCKED, "tls_failed")


def test_a_client_that_trusts_our_keys_is_sent_a_token_of_ours_from_then_on() -> None:
    world = WorkerWorld(begun=_begun(lives=0))

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED
    assert world.token != TOKEN


def test_a_client_that_wants_encrypted_tokens_is_sent_no_other() -> None:
    client = replace(WIKI, id_token_encrypted_response_alg="RSA-OAEP", id_token_encrypted_response_enc="A128GCM")
    world = WorkerWorld(begun=_begun(), client=client)

    world.attempt()

    assert world.egress.posts == []


@pytest.mark.parametrize("age", [0, 1000, 60_000, WAIT_FOR_TOKEN - 1])
def test_without_its_token_the_delivery_waits_for_it(age: int) -> None:
    world = _world(CheckedOut(replace(RECORD, created_at=NOW - age), "lease-1"))

    world.attempt()

    assert world.egress.posts == []
    assert (world.outcome.status, world.outcome.code) == (Status.QUEUED, "passed_on_token_missing")
    assert world.outcome.delay == max(1000, age // 2)


def test_a_token_that_never_comes_is_an_outcome() -> None:
    world = _world(CheckedOut(replace(RECORD, created_at=NOW - WAIT_FOR_TOKEN), "lease-1"))

    world.attempt()

    assert world.outcome == Outcome(Status.UNDELIVERABLE, "passed_on_token_missing")


@pytest.mark.parametrize("age", [0, WAIT_FOR_TOKEN, 86_400_000])
def test_while_the_client_is_paused_a_missing_token_ends_no_delivery(age: int) -> None:
    world = _world(CheckedOut(replace(RECORD, created_at=NOW - age), "lease-1"), replace(UNTRUSTING, paused=True))

    world.attempt()

    assert (world.outcome.status, world.outcome.code) == (Status.QUEUED, "client_paused")


@pytest.mark.parametrize(("resumed", "status"), [(WAIT_FOR_TOKEN - 1, Status.QUEUED), (WAIT_FOR_TOKEN, Status.UNDELIVERABLE)])
def test_the_wait_for_a_token_begins_anew_when_the_client_is_resumed(resumed: int, status: Status) -> None:
    created = NOW - 86_400_000
    world = _world(CheckedOut(replace(RECORD, created_at=created), "lease-1"), replace(UNTRUSTING, resumed_at=NOW - resumed))

    world.attempt()

    assert (world.outcome.status, world.outcome.code) == (status, "passed_on_token_missing")


def test_a_paused_client_s_token_runs_out_all_the_same() -> None:
    paused = replace(UNTRUSTING, paused=True)
    waiting, over = _world(_begun(), paused), _world(_begun(lives=0), paused)

    waiting.attempt()
    over.attempt()

    assert waiting.outcome.code == "client_paused"
    assert over.outcome == TOKEN_EXPIRED


def test_while_the_circuit_is_open_the_token_s_end_is_not_slept_through() -> None:
    record = replace(RECORD, created_at=NOW - 100_000)
    world = WorkerWorld(begun=_begun(record), client=UNTRUSTING, circuit_is_open=True)

    world.attempt()

    assert world.outcome.code == "circuit_open"
    assert world.outcome.delay == 7_000


def test_while_the_client_is_paused_the_token_s_end_is_not_slept_through() -> None:
    world = _world(_begun(replace(RECORD, created_at=NOW - 100_000)), replace(UNTRUSTING, paused=True))

    world.attempt()

    assert (world.outcome.code, world.outcome.delay) == ("client_paused", 7_000)


@pytest.mark.parametrize("lives", [None, 3_600_000])
def test_a_delivery_that_is_given_up_before_its_token_runs_out_says_why(lives: int | None) -> None:
    record = replace(RECORD, created_at=NOW - 70_000, attempts=3)
    world = _world(_begun(record, lives=lives), replace(UNTRUSTING, give_up_after=60), result=_response(503))

    world.attempt()

    assert world.outcome == Outcome(Status.UNDELIVERABLE, "http_503")


@pytest.mark.parametrize("token", [TOKEN, _token(sid="session-of-ada")])
def test_beside_a_newer_login_elsewhere_a_token_of_the_session_is_sent(token: str) -> None:
    world = _world(_begun(token=token), sessions=FakeSessions(NEWER))

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED


def test_beside_a_newer_login_in_its_session_a_token_is_superseded() -> None:
    begun = _begun(replace(RECORD, whole_session=False))
    world = _world(begun, sessions=FakeSessions(BEGUN_ANEW))

    world.attempt()

    assert world.outcome == Outcome(Status.SUPERSEDED, "newer_session")


def test_a_token_about_the_later_login_itself_is_sent() -> None:
    begun = _begun(replace(RECORD, whole_session=False))
    later = CheckedOut(replace(begun.record, passed_on=PassedOnToken(TOKEN, None, BEGUN_ANEW.started_at)), begun.lease)
    world = _world(later, sessions=FakeSessions(BEGUN_ANEW, ended_at=BEGUN_ANEW.started_at))

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED


@pytest.mark.parametrize(
    ("reason", "status"),
    [(None, Status.SUPERSEDED), (Reason.LOGOUT, Status.SUPERSEDED), (Reason.USER_DELETED, Status.ACCEPTED)],
)
def test_beside_a_newer_login_the_reason_decides_about_a_token_with_sub_alone(reason: Reason | None, status: Status) -> None:
    begun = _begun(replace(SUBJECT_WIDE, reason=reason), _token(sub="subject-ada"))
    world = _world(begun, sessions=FakeSessions(NEWER))

    world.attempt()

    assert world.outcome.status is status


def test_of_a_session_without_a_known_subject_our_token_names_the_sid_alone() -> None:
    world = WorkerWorld(begun=CheckedOut(replace(RECORD, sub=None), "lease-1"))

    world.attempt()

    assert b'"sub"' not in _payload(world.token)
    assert ENDED_AT < NOW


def _payload(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.split(".")[1] + "==")


def test_when_a_client_is_resumed_the_schedule_of_its_deliveries_begins_anew() -> None:
    history = None
    for at in (1_000, 2_000, 5_000):
        history = with_attempt(history, PastAttempt(at, "http_503", 7, None))
    record = replace(RECORD, attempts=3, history=history, created_at=900)

    assert [attempts_since(record, since) for since in (900, 2_000, 5_001)] == [3, 2, 0]
