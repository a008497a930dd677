import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from backchannel import errors
from backchannel.aws.dynamodb import Page
from backchannel.deliveries.attempt import AttemptResult, clean
from backchannel.deliveries.circuits import RECOVERY
from backchannel.deliveries.encryption import DocumentSource, Encryption
from backchannel.deliveries.history import PastAttempt
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.newer_logins import PAGE, PAGES, NewerLogins
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import AttemptReport, DeliveryRecord, PlannedDelivery, Run
from backchannel.deliveries.slow_clients import SlowClients
from backchannel.deliveries.table import CheckedOut, Deliveries, NotDue, NothingToDo
from backchannel.deliveries.verdicts import Done, Postponed, RetryIn, Verdict
from backchannel.deliveries.worker import POST_WITHIN, WAIT_MAX, DeliveryWorker
from backchannel.egress.post import Response
from backchannel.errors import InternalFailure, NotFoundError, SigningUnavailable, StorageUnavailable
from backchannel.providers.clients import DEADLINE_MAX, Client
from backchannel.providers.table import Provider
from backchannel.reasons import Reason
from backchannel.sessions.events import CLOCK_TOLERANCE, Ended, SessionEnded
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions
from backchannel.tokens.documents import Accept, Document
from backchannel.tokens.jws import encode
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.locations import Location
from tests.support.queues import FakeQueue
from tests.support.signing import ring, signer, unverified_part, verified
from tests.unit.conftest import Log

NOW = 1_788_256_800_000
ENDED_AT = NOW - 1000
PROVIDER = Provider("idp", "https://idp.example/", ring())
WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout?logout=backchannel")
RECORD = DeliveryRecord(
    provider="idp",
    logout_id="l1",
    client_id="wiki",
    sid="session-of-ada",
    sub="subject-ada",
    client_sub=None,
    status=Status.QUEUED,
    attempts=0,
    issuer="https://idp.example/",
    ended_at=ENDED_AT,
    created_at=ENDED_AT,
    updated_at=ENDED_AT,
    whole_session=True,
)
PART = replace(RECORD, whole_session=False)
SUBJECT_WIDE = replace(PART, sid=None)
MESSAGE = DeliveryMessage("idp", "l1", "wiki", "session-of-ada")
BEGUN = CheckedOut(RECORD, "lease-1")
OLDER = RpSession("wiki", "subject-ada", ENDED_AT - 1000, "older-session", ended_by="l1", claimed_by=frozenset({"l1"}))
NEWER = RpSession("wiki", "subject-ada", ENDED_AT + 500, "newer-session")
BEGUN_ANEW = replace(NEWER, sid="session-of-ada")


def _answer(status: int, body: bytes = b"", retry_after: str | None = None) -> Response:
    return Response(status, retry_after, body, "application/json", "93.184.215.14")


class FakeDeliveries(Deliveries):
    """One delivery under a lease; what becomes of it is kept."""

    def __init__(self, begun: CheckedOut | NotDue | NothingToDo | InternalFailure) -> None:
        self.begun = begun
        self.keeps_lease = True
        self.fault: InternalFailure | None = None
        self.settled: list[tuple[Outcome, AttemptReport | None]] = []
        self.past: list[PastAttempt | None] = []
        self.released: list[str] = []
        self.recorded: list[PlannedDelivery] = []

    def record(self, run: Run, planned: PlannedDelivery, now: int) -> bool:
        assert (run.logout_id, now) == ("l1", NOW)
        if planned in self.recorded:
            return False
        self.recorded.append(planned)
        return True

    def check_out(self, message: DeliveryMessage, now: int) -> CheckedOut | NotDue | NothingToDo:
        assert (message.logout_id, now) == ("l1", NOW)
        if isinstance(self.begun, InternalFailure):
            raise self.begun
        return self.begun

    def settle(
        self,
        delivery: CheckedOut,
        outcome: Outcome,
        now: int,
        report: AttemptReport | None = None,
        past: PastAttempt | None = None,
    ) -> bool:
        assert (delivery, now) == (self.begun, NOW)
        if self.fault is not None:
            raise self.fault
        self.settled.append((outcome, report))
        self.past.append(past)
        return self.keeps_lease

    def release(self, delivery: CheckedOut) -> None:
        if self.fault is not None:
            raise self.fault
        self.released.append(delivery.lease)


class FakeSessions(Sessions):
    """Knows what sessions the subject has at the client."""

    def __init__(self, *found: RpSession, fault: InternalFailure | None = None, ended_at: int = ENDED_AT) -> None:
        self.ended_at = ended_at
        self.found = list(found)
        self.fault = fault
        self.asked: list[str] = []

    def page(
        self, issuer: str, event: Ended, *, client_id: str | None, after: str | None, limit: int, now: int
    ) -> Page[RpSession]:
        if self.fault is not None:
            raise self.fault
        assert (issuer, event.ended_at, client_id, now) == ("https://idp.example/", self.ended_at, "wiki", NOW)
        self.asked.append(event.sid if isinstance(event, SessionEnded) else event.sub)
        first = int(after or 0)
        rest = self.found[first + limit :]
        return Page(self.found[first : first + limit], str(first + limit) if rest else None)


class FakeCircuits:
    """The circuit of every client: closed, unless it is said to be open."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.is_open = is_open

    def call(self, provider: str, client_id: str, send: Callable[[], AttemptResult]) -> AttemptResult | None:
        assert (provider, client_id) == ("idp", "wiki")
        return None if self.is_open else send()


@dataclass
class FakeEgress:
    """Answers every POST alike."""

    result: Response | errors.RelyingPartyFault
    posts: list[tuple[str, bytes, Mapping[str, Any]]] = field(default_factory=list)

    def post(self, uri: str, body: bytes, **options: Any) -> Response:
        self.posts.append((uri, body, options))
        if isinstance(self.result, errors.RelyingPartyFault):
            raise self.result
        return self.result


class NoDocuments:
    """Nobody's documents are to be had: for clients that have none."""

    def get(self, location: Location, accept: Accept) -> Document:
        raise NotImplementedError


@dataclass
class BrokenSigner:
    fault: InternalFailure

    def sign(self, key: SigningKey, octets: bytes, *, within: int) -> bytes:  # noqa: ARG002 - as the port has it
        raise self.fault


class WorkerWorld:
    """A DeliveryWorker with everything around it."""

    def __init__(
        self,
        *,
        client: Client | Exception = WIKI,
        current_client: Client | Exception | None = None,
        provider: Provider | Exception = PROVIDER,
        current_provider: Provider = PROVIDER,
        begun: CheckedOut | NotDue | NothingToDo | InternalFailure = BEGUN,
        result: Response | errors.RelyingPartyFault | None = None,
        sessions: FakeSessions | None = None,
        circuit_is_open: bool = False,
        signing_fault: InternalFailure | None = None,
        documents: DocumentSource | None = None,
    ) -> None:
        self.deliveries = FakeDeliveries(begun)
        self.sessions = sessions or FakeSessions()
        self.queue = FakeQueue()
        self.slow_clients = SlowClients()
        self.egress = FakeEgress(result or _answer(200))
        encryption = Encryption(documents or NoDocuments(), self.slow_clients)
        self.worker = DeliveryWorker(
            provider=lambda _: _give(provider),
            current_provider=lambda _: current_provider,
            client=lambda *_: _give(client),
            current_client=lambda *_: _give(client if current_client is None else current_client),
            deliveries=self.deliveries,
            newer_logins=NewerLogins(self.sessions, self.deliveries, self.queue),
            encryption=lambda: encryption,
            signer=BrokenSigner(signing_fault) if signing_fault else signer(),
            egress=self.egress,
            circuits=FakeCircuits(is_open=circuit_is_open),
            rng=Random(0),  # noqa: S311 - spreads load, protects nothing
            now=lambda: NOW,
        )

    def attempt(self) -> Verdict:
        return self.worker.attempt(MESSAGE)

    @property
    def outcome(self) -> Outcome:
        return self.deliveries.settled[-1][0]

    @property
    def answered(self) -> AttemptReport | None:
        return self.deliveries.settled[-1][1]

    @property
    def token(self) -> str:
        return self.egress.posts[-1][1].decode().removeprefix("logout_token=")


def _give[T](result: T | Exception) -> T:
    if isinstance(result, Exception):
        raise result
    return result


def test_the_post_is_exactly_one_logout_token_to_the_registered_uri() -> None:
    world = WorkerWorld(client=replace(WIKI, allowed_networks=("10.1.0.0/16",)))

    world.attempt()

    ((uri, body, options),) = world.egress.posts
    assert uri == "https://wiki.example/logout?logout=backchannel"
    assert body.startswith(b"logout_token=")
    assert not set(b"&+%= \n") & set(body.removeprefix(b"logout_token="))
    assert options["allowed_networks"] == ("10.1.0.0/16",)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_the_token_verifies_with_the_key_that_the_client_asked_for(alg: str) -> None:
    world = WorkerWorld(client=replace(WIKI, id_token_signed_response_alg=alg))

    world.attempt()

    token = verified(world.token)
    assert token.header["alg"] == alg
    claims = dict(token.claims)
    assert claims.pop("jti")
    assert claims == {
        "iss": "https://idp.example/",
        "aud": "wiki",
        "iat": NOW // 1000 - 2,
        "exp": NOW // 1000 + 118,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        "sub": "subject-ada",
        "sid": "session-of-ada",
    }


def test_every_attempt_has_a_token_of_its_own() -> None:
    world = WorkerWorld()

    world.attempt()
    first = unverified_part(world.token, 1)["jti"]
    world.attempt()

    assert unverified_part(world.token, 1)["jti"] != first


def test_the_client_is_told_the_subject_that_it_knows() -> None:
    world = WorkerWorld(begun=CheckedOut(replace(RECORD, client_sub="pairwise-7"), "lease-1"))

    world.attempt()

    assert unverified_part(world.token, 1)["sub"] == "pairwise-7"


@pytest.mark.parametrize("status", [200, 204])
def test_an_acceptance_is_final_and_measured(status: int) -> None:
    world = WorkerWorld(result=_answer(status))

    verdict = world.attempt()

    assert world.deliveries.settled == [(Outcome(Status.ACCEPTED, f"http_{status}"), AttemptReport(status))]
    assert isinstance(verdict, Done)
    assert verdict.measured is not None
    assert verdict.measured.since_end_ms == 1000
    assert verdict.outcome == world.outcome


@pytest.mark.parametrize(
    ("result", "status", "code"),
    [
        (_answer(401), Status.REJECTED, "http_401"),
        (_answer(302), Status.REJECTED, "http_302"),
    ],
)
def test_a_refusal_is_final(result: Response | errors.RelyingPartyFault, status: Status, code: str) -> None:
    world = WorkerWorld(result=result)

    verdict = world.attempt()

    assert world.outcome == Outcome(status, code)
    assert isinstance(verdict, Done)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (_answer(503), "http_503"),
        (_answer(400), "http_400"),
        (errors.ReadTimeout("silent"), "read_timeout"),
        (errors.DnsFailure("no address"), "dns_failure"),
        (errors.AddressForbidden("10.0.0.1"), "address_forbidden"),
        (errors.TlsFailed("expired"), "tls_failed"),
    ],
)
def test_passing_trouble_is_tried_again(result: Response | errors.RelyingPartyFault, code: str) -> None:
    world = WorkerWorld(result=result)

    verdict = world.attempt()

    assert (world.outcome.status, world.outcome.code) == (Status.RETRYING, code)
    assert _delay(verdict) == world.outcome.delay
    assert world.answered == AttemptReport(result.status if isinstance(result, Response) else None)


def test_the_second_400_is_final() -> None:
    world = WorkerWorld(begun=CheckedOut(replace(RECORD, attempts=1, last_status_code=400), "lease-1"), result=_answer(400))

    assert isinstance(world.attempt(), Done)
    assert world.outcome.status is Status.REJECTED


def test_the_last_attempt_of_the_schedule_is_final() -> None:
    world = WorkerWorld(begun=CheckedOut(replace(RECORD, attempts=10), "lease-1"), result=_answer(503))

    assert isinstance(world.attempt(), Done)
    assert world.outcome.status is Status.UNDELIVERABLE


def test_a_delivery_that_is_a_day_old_is_given_up() -> None:
    old = replace(RECORD, attempts=3, created_at=NOW - 86_400_000)
    world = WorkerWorld(begun=CheckedOut(old, "lease-1"), result=_answer(503))

    assert isinstance(world.attempt(), Done)
    assert world.outcome.status is Status.UNDELIVERABLE


@pytest.mark.parametrize(
    ("retry_after", "expected"), [("600", 600_000), ("86400", 3_600_000), ("Tue, 01 Sep 2026 10:10:00 GMT", 600_000)]
)
def test_the_relying_party_may_ask_for_more_time(retry_after: str, expected: int) -> None:
    world = WorkerWorld(result=_answer(429, retry_after=retry_after))

    assert _delay(world.attempt()) == expected


@pytest.mark.parametrize("retry_after", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "garbage", "2\x1c", ""])
def test_no_retry_after_of_a_relying_party_is_an_error_of_ours(retry_after: str) -> None:
    world = WorkerWorld(result=_answer(503, retry_after=retry_after))

    assert 4000 <= _delay(world.attempt()) <= 6000
    assert world.outcome.status is Status.RETRYING


def test_a_client_that_is_not_registered_any_more_is_undeliverable() -> None:
    world = WorkerWorld(client=NotFoundError("no client 'wiki'"))

    _is_settled_without_an_attempt(world, Outcome(Status.UNDELIVERABLE, "client_not_registered"))


def test_a_provider_that_is_gone_makes_its_deliveries_undeliverable() -> None:
    world = WorkerWorld(provider=NotFoundError("no provider 'idp'"))

    _is_settled_without_an_attempt(world, Outcome(Status.UNDELIVERABLE, "client_not_registered"))


def test_a_client_that_takes_no_logout_tokens_gets_none() -> None:
    world = WorkerWorld(client=Client("wiki"))

    _is_settled_without_an_attempt(world, Outcome(Status.SUPPRESSED, "no_backchannel_logout_uri"))


def test_a_client_is_not_told_of_a_reason_that_it_does_not_want_to_hear_of() -> None:
    world = WorkerWorld(begun=CheckedOut(replace(RECORD, reason=Reason.EXPIRED), "lease-1"))

    _is_settled_without_an_attempt(world, Outcome(Status.SUPPRESSED, "expired"))


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (RECORD, Reason.LOGOUT),
        (replace(RECORD, reason=Reason.EXPIRED), Reason.EXPIRED),
        (replace(RECORD, reason=Reason.EXPIRED, also=frozenset({Reason.USER_DISABLED})), Reason.USER_DISABLED),
    ],
    ids=["none given", "the one", "another logout's"],
)
def test_a_client_is_told_if_it_wants_to_hear_of_one_of_the_reasons(record: DeliveryRecord, wanted: Reason) -> None:
    world = WorkerWorld(begun=CheckedOut(record, "lease-1"), client=replace(WIKI, logout_reasons=(wanted,)))

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED


@pytest.mark.parametrize("client", [replace(WIKI, subject="sid_only"), replace(WIKI, backchannel_logout_session_required=True)])
def test_a_client_that_insists_on_a_sid_that_nobody_knows_gets_no_guess(client: Client) -> None:
    world = WorkerWorld(client=client, begun=CheckedOut(SUBJECT_WIDE, "lease-1"))

    _is_settled_without_an_attempt(world, Outcome(Status.UNADDRESSABLE, "sid_unknown"))


@pytest.mark.parametrize(("client", "record"), [(WIKI, SUBJECT_WIDE), (replace(WIKI, subject="sub_only"), RECORD)])
def test_a_token_without_sid_never_ends_a_newer_login(client: Client, record: DeliveryRecord) -> None:
    world = WorkerWorld(client=client, begun=CheckedOut(record, "lease-1"), sessions=FakeSessions(NEWER))

    _is_settled_without_an_attempt(world, Outcome(Status.SUPERSEDED, "newer_session"))
    assert set(world.sessions.asked) == {"subject-ada"}


def test_a_later_attempt_looks_for_newer_logins_too() -> None:
    record = replace(SUBJECT_WIDE, status=Status.RETRYING, attempts=3)
    world = WorkerWorld(begun=CheckedOut(record, "lease-1"), sessions=FakeSessions(NEWER))

    _is_settled_without_an_attempt(world, Outcome(Status.SUPERSEDED, "newer_session"))


def test_beside_a_newer_login_the_older_sessions_are_told_by_sid() -> None:
    others = [replace(OLDER, sid=None), replace(OLDER, sid="of-another-logout", ended_by="l2", claimed_by=frozenset({"l2"}))]
    sessions = FakeSessions(OLDER, NEWER, *others, replace(OLDER, sid="not-marked-yet", ended_by=None, claimed_by=frozenset()))
    world = WorkerWorld(begun=CheckedOut(SUBJECT_WIDE, "lease-1"), sessions=sessions)

    world.attempt()

    sids = ["older-session", "not-marked-yet"]
    assert world.deliveries.recorded == [PlannedDelivery("wiki", sid, "subject-ada") for sid in sids]
    messages = [DeliveryMessage.from_json(message.body) for message in world.queue.sent]
    assert messages == [DeliveryMessage("idp", "l1", "wiki", sid) for sid in sids]
    assert world.outcome.status is Status.SUPERSEDED


def test_more_older_sessions_than_one_attempt_can_tell_are_told_by_several() -> None:
    older = [replace(OLDER, sid=f"older-{number}") for number in range(2 * PAGE * PAGES)]
    world = WorkerWorld(
        begun=CheckedOut(replace(SUBJECT_WIDE, status=Status.RETRYING), "lease-1"), sessions=FakeSessions(*older, NEWER)
    )

    first = world.attempt()
    told = len(world.queue.sent)
    cursor = world.outcome.cursor
    world.deliveries.begun = CheckedOut(replace(SUBJECT_WIDE, cursor=cursor), "lease-1")
    world.attempt()
    world.deliveries.begun = CheckedOut(replace(SUBJECT_WIDE, cursor=world.outcome.cursor), "lease-1")
    last = world.attempt()

    assert isinstance(first, RetryIn)
    assert isinstance(last, Done)
    assert (_delay(first), told) == (1000, PAGE * PAGES)
    assert first.outcome == Outcome(Status.RETRYING, "newer_session", 1000, cursor)
    assert last.outcome == Outcome(Status.SUPERSEDED, "newer_session")
    messages = [DeliveryMessage.from_json(message.body) for message in world.queue.sent]
    assert [message.sid for message in messages] == [each.sid for each in older]
    assert world.egress.posts == []


def test_a_client_without_sid_is_not_told_of_older_sessions_beside_a_newer_login() -> None:
    sub_only = replace(WIKI, subject="sub_only")
    world = WorkerWorld(client=sub_only, begun=CheckedOut(SUBJECT_WIDE, "lease-1"), sessions=FakeSessions(OLDER, NEWER))

    _is_settled_without_an_attempt(world, Outcome(Status.SUPERSEDED, "newer_session"))
    assert (world.deliveries.recorded, world.queue.sent) == ([], [])


@pytest.mark.parametrize(
    "session",
    [
        replace(NEWER, ended_by="l2"),
        replace(NEWER, started_at=ENDED_AT),
        OLDER,
    ],
    ids=["newer but over", "of the same moment", "older"],
)
def test_without_a_newer_login_the_subject_alone_is_told(session: RpSession) -> None:
    world = WorkerWorld(begun=CheckedOut(SUBJECT_WIDE, "lease-1"), sessions=FakeSessions(session))

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED
    assert "sid" not in unverified_part(world.token, 1)


def test_a_token_with_sid_never_ends_a_newer_login_in_a_session_that_goes_on() -> None:
    world = WorkerWorld(begun=CheckedOut(PART, "lease-1"), sessions=FakeSessions(BEGUN_ANEW))

    _is_settled_without_an_attempt(world, Outcome(Status.SUPERSEDED, "newer_session"))
    assert world.sessions.asked == ["session-of-ada"]
    assert (world.deliveries.recorded, world.queue.sent) == ([], [])


@pytest.mark.parametrize(
    "found",
    [[], [replace(BEGUN_ANEW, ended_by="l2")], [replace(BEGUN_ANEW, started_at=ENDED_AT)]],
    ids=["gone", "newer but over", "of the same moment"],
)
def test_a_token_with_sid_is_sent_while_nothing_newer_is_in_its_session(found: list[RpSession]) -> None:
    world = WorkerWorld(begun=CheckedOut(PART, "lease-1"), sessions=FakeSessions(*found))

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED


def test_a_first_attempt_by_sid_alone_needs_no_look() -> None:
    world = WorkerWorld(client=replace(WIKI, subject="sid_only"), sessions=FakeSessions(BEGUN_ANEW))

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED
    assert world.sessions.asked == []


def test_a_late_token_by_sid_ends_no_later_login_in_a_sid_that_is_used_again() -> None:
    ended_at = NOW - CLOCK_TOLERANCE - 2
    record = replace(RECORD, ended_at=ended_at)
    later = replace(BEGUN_ANEW, started_at=NOW - 1)
    world = WorkerWorld(begun=CheckedOut(record, "lease-1"), sessions=FakeSessions(later, ended_at=ended_at))

    _is_settled_without_an_attempt(world, Outcome(Status.SUPERSEDED, "newer_session"))


def test_beside_a_newer_login_a_client_that_takes_both_is_sent_the_sid_alone() -> None:
    world = WorkerWorld(sessions=FakeSessions(NEWER))

    world.attempt()

    token = unverified_part(world.token, 1)
    assert token["sid"] == "session-of-ada"
    assert "sub" not in token


@pytest.mark.parametrize("reason", [Reason.CREDENTIAL_CHANGED, Reason.COMPROMISED])
def test_in_an_emergency_a_newer_login_does_not_save_an_older_session(reason: Reason) -> None:
    record = replace(SUBJECT_WIDE, reason=reason)
    world = WorkerWorld(
        client=replace(WIKI, subject="sub_only"), begun=CheckedOut(record, "lease-1"), sessions=FakeSessions(OLDER, NEWER)
    )

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED
    assert unverified_part(world.token, 1)["sub"] == "subject-ada"


def test_a_delivery_is_not_signed_as_another_issuer_that_has_the_providers_name_by_now() -> None:
    world = WorkerWorld(provider=replace(PROVIDER, issuer="https://another.example/"))

    _is_settled_without_an_attempt(world, Outcome(Status.UNDELIVERABLE, "issuer_changed"))


@pytest.mark.parametrize(
    ("client", "circuit_is_open", "code"),
    [(replace(WIKI, paused=True), False, "client_paused"), (WIKI, True, "circuit_open")],
)
@pytest.mark.parametrize("status", [Status.QUEUED, Status.RETRYING])
def test_a_client_that_is_left_alone_has_its_deliveries_wait_without_an_attempt(
    client: Client,
    circuit_is_open: bool,  # noqa: FBT001 - a row of the table
    code: str,
    status: Status,
) -> None:
    begun = CheckedOut(replace(RECORD, status=status, attempts=3), "lease-1")
    world = WorkerWorld(client=client, circuit_is_open=circuit_is_open, begun=begun)

    verdict = world.attempt()

    assert (world.outcome.status, world.outcome.code, world.answered) == (status, code, None)
    assert _delay(verdict) == world.outcome.delay
    assert RECOVERY <= _delay(verdict) <= RECOVERY + WAIT_MAX
    assert world.egress.posts == []


def test_nobody_waits_longer_for_a_circuit_than_the_client_wants_its_deliveries_tried() -> None:
    old = replace(RECORD, created_at=NOW - 600_000)
    world = WorkerWorld(client=replace(WIKI, give_up_after=600), circuit_is_open=True, begun=CheckedOut(old, "lease-1"))

    _is_settled_without_an_attempt(world, Outcome(Status.UNDELIVERABLE, "circuit_open"))


def test_while_a_client_is_paused_nothing_is_given_up() -> None:
    old = replace(RECORD, created_at=NOW - 10 * DEADLINE_MAX * 1000)
    world = WorkerWorld(client=replace(WIKI, paused=True, give_up_after=600), begun=CheckedOut(old, "lease-1"))

    world.attempt()

    assert (world.outcome.status, world.outcome.code) == (Status.QUEUED, "client_paused")


@pytest.mark.parametrize(("resumed", "status"), [(599, Status.RETRYING), (600, Status.UNDELIVERABLE)])
def test_a_client_that_was_resumed_has_its_deliveries_tried_anew(resumed: int, status: Status) -> None:
    old = replace(RECORD, created_at=NOW - 10 * DEADLINE_MAX * 1000, attempts=3)
    client = replace(WIKI, give_up_after=660, resumed_at=NOW - resumed * 1000 - 1)
    world = WorkerWorld(client=client, begun=CheckedOut(old, "lease-1"), result=_answer(503))

    world.attempt()

    assert world.outcome.status is status


def test_a_client_that_was_resumed_is_not_left_alone_because_a_cache_says_so() -> None:
    world = WorkerWorld(client=replace(WIKI, paused=True), current_client=WIKI)

    world.attempt()

    assert world.outcome.status is Status.ACCEPTED


def test_an_internal_failure_after_a_long_pause_gives_nothing_up() -> None:
    record = replace(RECORD, created_at=NOW - 2 * DEADLINE_MAX * 1000, updated_at=NOW - 1000, next_attempt_at=None)
    world = WorkerWorld(begun=CheckedOut(record, "lease-1"), signing_fault=errors.SigningUnavailable("ThrottlingException"))

    verdict = world.attempt()

    assert verdict == Postponed(overdue=1000)


def test_a_client_may_have_its_deliveries_given_up_earlier() -> None:
    old = replace(RECORD, attempts=3, created_at=NOW - 600_000)
    world = WorkerWorld(client=replace(WIKI, give_up_after=600), begun=CheckedOut(old, "lease-1"), result=_answer(503))

    world.attempt()

    assert world.outcome == Outcome(Status.UNDELIVERABLE, "http_503")


def test_a_delivery_that_is_final_is_not_attempted_again() -> None:
    world = WorkerWorld(begun=NothingToDo())

    assert world.attempt() == Done()
    assert (world.egress.posts, world.deliveries.settled) == ([], [])


def test_a_delivery_that_was_final_before_comes_with_its_verdict() -> None:
    final = replace(RECORD, status=Status.REJECTED)
    world = WorkerWorld(begun=NothingToDo(final))

    verdict = world.attempt()

    assert isinstance(verdict, Done)
    assert (verdict.outcome, verdict.final) == (None, final)


def test_a_delivery_that_becomes_final_comes_with_its_verdict_as_it_is_recorded() -> None:
    world = WorkerWorld(begun=CheckedOut(replace(RECORD, attempts=2, last_code="http_503"), "lease-1"), result=_answer(404))

    verdict = world.attempt()

    assert isinstance(verdict, Done)
    assert verdict.final is not None
    assert (verdict.final.status, verdict.final.attempts, verdict.final.updated_at) == (Status.REJECTED, 3, NOW)
    assert (verdict.final.last_code, verdict.final.last_status_code) == ("http_404", 404)


def test_a_delivery_that_becomes_final_without_an_attempt_keeps_its_attempts() -> None:
    record = replace(RECORD, attempts=2, last_status_code=503, last_code="http_503")
    world = WorkerWorld(begun=CheckedOut(record, "lease-1"), client=NotFoundError("no client"))

    verdict = world.attempt()

    assert isinstance(verdict, Done)
    assert verdict.final is not None
    assert (verdict.final.attempts, verdict.final.last_status_code) == (2, 503)
    assert verdict.final.last_code == "client_not_registered"


@pytest.mark.parametrize(("until", "delay"), [(NOW + 5000, 5000), (NOW + 5001, 5001), (NOW, 1000), (0, 1000)])
def test_a_delivery_that_is_not_due_or_is_with_another_waits_until_then(until: int, delay: int) -> None:
    world = WorkerWorld(begun=NotDue(until))

    assert world.attempt() == RetryIn(delay)
    assert (world.egress.posts, world.deliveries.settled) == ([], [])


def test_a_key_that_was_made_after_the_ring_was_read_signs() -> None:
    world = WorkerWorld(provider=replace(PROVIDER, keys=()))

    world.attempt()

    assert verified(world.token).header["kid"] == ring()[0].kid


def test_a_key_ring_that_cannot_sign_is_an_internal_failure() -> None:
    world = WorkerWorld(provider=replace(PROVIDER, keys=()), current_provider=replace(PROVIDER, keys=()))

    _has_spent_no_attempt(world)


@pytest.mark.parametrize(
    "world",
    [
        WorkerWorld(signing_fault=SigningUnavailable("ThrottlingException")),
        WorkerWorld(provider=StorageUnavailable("ThrottlingException")),
        WorkerWorld(client=StorageUnavailable("ThrottlingException")),
        WorkerWorld(
            begun=CheckedOut(SUBJECT_WIDE, "lease-1"), sessions=FakeSessions(fault=StorageUnavailable("ThrottlingException"))
        ),
    ],
    ids=["kms", "provider", "client", "sessions"],
)
def test_an_internal_failure_gives_the_lease_back_and_spends_no_attempt(world: WorkerWorld) -> None:
    _has_spent_no_attempt(world)


def test_without_a_lease_nothing_is_posted() -> None:
    world = WorkerWorld(begun=StorageUnavailable("ThrottlingException"))

    assert world.attempt() == Postponed()
    assert (world.egress.posts, world.deliveries.settled, world.deliveries.released) == ([], [], [])


def test_nothing_is_posted_once_there_is_no_time_left_to_record_what_comes_of_it(log: Log) -> None:
    world = WorkerWorld()
    clock = iter([NOW, NOW, NOW, NOW])
    world.worker = replace(world.worker, now=lambda: next(clock, NOW + POST_WITHIN + 1))

    verdict = world.attempt()

    assert isinstance(verdict, Postponed)
    assert (world.egress.posts, world.deliveries.settled, world.deliveries.released) == ([], [], ["lease-1"])
    assert [line["code"] for line in log.lines] == ["out_of_time"]


def test_an_internal_failure_that_lasts_for_days_becomes_the_outcome() -> None:
    began = NOW - DEADLINE_MAX * 1000
    record = replace(RECORD, created_at=began, updated_at=began)
    world = WorkerWorld(begun=CheckedOut(record, "lease-1"), signing_fault=SigningUnavailable("DisabledException"))

    verdict = world.attempt()

    assert verdict == Done(Outcome(Status.UNDELIVERABLE, "signing_unavailable"), client=(RECORD.issuer, "wiki"))
    assert world.deliveries.settled == [(verdict.outcome, None)]


def test_an_internal_failure_gives_the_lease_back_until_the_last_millisecond() -> None:
    began = NOW - (DEADLINE_MAX * 1000 - 1)
    record = replace(RECORD, created_at=began, updated_at=began)
    world = WorkerWorld(begun=CheckedOut(record, "lease-1"), signing_fault=SigningUnavailable("DisabledException"))

    verdict = world.attempt()

    assert verdict == Postponed(overdue=DEADLINE_MAX * 1000 - 1)
    assert (world.deliveries.settled, world.deliveries.released) == ([], ["lease-1"])


def test_an_outcome_that_cannot_be_recorded_comes_again(log: Log) -> None:
    world = WorkerWorld()
    world.deliveries.fault = StorageUnavailable("ThrottlingException")

    verdict = world.attempt()

    assert isinstance(verdict, Postponed)
    assert "delivery.lease_kept" in [line["message"] for line in log.lines]


def test_a_lease_lost_to_somebody_else_comes_again_and_is_measured(log: Log) -> None:
    world = WorkerWorld()
    world.deliveries.keeps_lease = False

    verdict = world.attempt()

    assert isinstance(verdict, RetryIn)
    assert (verdict.delay, verdict.outcome) == (10_000, None)
    assert verdict.measured is not None
    assert "delivery.lease_lost" in [line["message"] for line in log.lines]


def test_what_a_relying_party_says_about_a_refusal_is_kept() -> None:
    body = b'{"error": "invalid_request", "error_description": "no such session"}'
    world = WorkerWorld(result=_answer(400, body))

    world.attempt()

    assert world.answered == AttemptReport(400, "invalid_request", "no such session")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a" * 500, "a" * 200),
        ("two\r\nlines\x1b[31m", "two  lines [31m"),
        ("right\u202eleft", "right left"),
        ("\ud800", " "),
        ("grüße", "grüße"),
        ("", None),
        (None, None),
        (7, None),
        ({"a": "b"}, None),
    ],
)
def test_what_a_relying_party_says_is_cut_and_cleaned(said: object, kept: str | None) -> None:
    world = WorkerWorld(result=_answer(400, json.dumps({"error": said, "error_description": said}).encode()))

    world.attempt()

    assert world.answered == AttemptReport(400, kept, kept)


@pytest.mark.parametrize(
    ("result", "code", "address"),
    [
        (_answer(204), "http_204", "93.184.215.14"),
        (_answer(503), "http_503", "93.184.215.14"),
        (errors.DnsFailure("no address"), "dns_failure", None),
    ],
)
def test_an_attempt_is_kept_with_its_code_and_the_address_that_was_dialled(
    result: Response | errors.RelyingPartyFault, code: str, address: str | None
) -> None:
    world = WorkerWorld(result=result)

    verdict = world.attempt()

    (past,) = world.deliveries.past
    assert past is not None
    assert (past.code, past.address) == (code, address)
    assert past.at == NOW - past.post_ms
    assert isinstance(verdict, Done | RetryIn)
    assert verdict.client == (RECORD.issuer, "wiki")


def test_what_is_settled_without_an_attempt_leaves_none_in_the_history() -> None:
    world = WorkerWorld(circuit_is_open=True)

    world.attempt()

    assert world.deliveries.past == [None]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"error"', b"\xff\xfe", b"[" * 4096, b"9" * 4096, b'{"error": "cut'])
def test_an_answer_in_no_known_form_is_no_internal_failure(body: bytes) -> None:
    world = WorkerWorld(result=_answer(400, body))

    world.attempt()

    assert world.answered == AttemptReport(400)


@pytest.mark.parametrize(
    ("content_type", "body", "kept"),
    [
        ("text/plain", b" no session\r\nfor you ", "no session  for you"),
        ("text/plain; charset=utf-8", "z\u00fcrich".encode(), "z\u00fcrich"),
        ("text/html", b"<h1>Forbidden</h1>", "<h1>Forbidden</h1>"),
        (None, b"nope", "nope"),
        ("text/plain", b"a" * 4096, "a" * 200),
        ("text/plain", b"\xff\xfe", "\ufffd\ufffd"),
        ("text/plain", b"", None),
        ("application/octet-stream", b"nope", None),
    ],
)
def test_a_text_that_a_relying_party_answers_with_is_kept(content_type: str | None, body: bytes, kept: str | None) -> None:
    world = WorkerWorld(result=Response(403, None, body, content_type, "93.184.215.14"))

    world.attempt()

    assert world.answered == AttemptReport(403, kept)


def test_a_token_that_a_relying_party_repeats_is_not_kept() -> None:
    class Echo(FakeEgress):
        def post(self, uri: str, body: bytes, **options: Any) -> Response:
            super().post(uri, body, **options)
            return Response(400, None, b"bad token: " + body.removeprefix(b"logout_token="), "text/plain", "93.184.215.14")

    world = WorkerWorld()
    world.worker = replace(world.worker, egress=Echo(_answer(400)))

    world.attempt()

    assert world.answered == AttemptReport(400, "bad token: [token]")


@pytest.mark.parametrize("header", [b'{"alg":"ES256"}', b'{ "alg": "ES256" }', b'{\n  "alg": "ES256"\n}', b'{\r\n\t"alg": 1}'])
def test_a_token_is_known_however_its_header_is_written(header: bytes) -> None:
    assert clean(f"bad token {encode(header)}.e30.c2lnbmF0dXJl, sorry") == "bad token [token], sorry"


def test_an_accepting_relying_party_says_nothing_about_a_failure() -> None:
    world = WorkerWorld(result=_answer(200, b'{"error": "none"}'))

    world.attempt()

    assert world.answered == AttemptReport(200)


@pytest.mark.parametrize(
    "world",
    [
        WorkerWorld(),
        WorkerWorld(result=_answer(400, b'{"error": "invalid_request", "error_description": "no session session-of-ada"}')),
        WorkerWorld(result=errors.ReadTimeout("silent")),
        WorkerWorld(client=Client("wiki")),
        WorkerWorld(begun=CheckedOut(SUBJECT_WIDE, "lease-1"), sessions=FakeSessions(NEWER)),
        WorkerWorld(signing_fault=SigningUnavailable("ThrottlingException")),
    ],
)
def test_no_log_line_has_a_token_a_subject_or_a_session_in_it(world: WorkerWorld, log: Log) -> None:
    world.attempt()

    assert log.lines
    assert str(RECORD.sub) not in log.text
    assert str(RECORD.sid) not in log.text
    assert not [part for _, body, _ in world.egress.posts for part in body.decode().split(".") if part in log.text]


def test_an_attempt_is_one_log_line_that_can_be_followed(log: Log) -> None:
    world = WorkerWorld(result=_answer(503))

    world.attempt()

    (line,) = log.lines
    expected = {
        "message": "delivery.attempted",
        "provider": "idp",
        "logout_id": "l1",
        "client_id": "wiki",
        "attempt": 1,
        "status": "retrying",
        "code": "http_503",
        "status_code": 503,
        "address": "93.184.215.14",
        "kid": ring()[0].kid,
        "since_end_ms": 1000,
        "next_delay_s": round((world.outcome.delay or 0) / 1000),
    }
    assert expected.items() <= line.items()


def test_an_attempt_that_ended_in_a_fault_tells_where_and_why(log: Log) -> None:
    fault = errors.TlsFailed("certificate\r\nhas \x1b[31mexpired " + "." * 999)
    fault.address = "93.184.215.14"
    world = WorkerWorld(result=fault)

    world.attempt()

    (line,) = log.lines
    assert (line["code"], line["address"]) == ("tls_failed", "93.184.215.14")
    assert line["detail"] == "certificate  has  [31mexpired " + "." * 170
    assert world.answered == AttemptReport()


def test_an_attempt_that_dialled_nothing_has_no_address(log: Log) -> None:
    WorkerWorld(result=errors.AddressForbidden("10.0.0.1 is in no allowed network")).attempt()

    (line,) = log.lines
    assert "address" not in line
    assert line["detail"] == "10.0.0.1 is in no allowed network"


def _delay(verdict: Verdict) -> int:
    assert isinstance(verdict, RetryIn)
    return verdict.delay


def _is_settled_without_an_attempt(world: WorkerWorld, outcome: Outcome) -> None:
    verdict = world.attempt()

    assert verdict == Done(outcome, client=(RECORD.issuer, "wiki"))
    assert world.deliveries.settled == [(outcome, None)]
    assert world.egress.posts == []


def _has_spent_no_attempt(world: WorkerWorld) -> None:
    verdict = world.attempt()

    assert verdict == Postponed(overdue=1000)
    assert world.deliveries.settled == []
    assert world.deliveries.released == ["lease-1"]
    assert world.egress.posts == []
