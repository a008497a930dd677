"""What decides who is logged out is read consistently. No emulator shows it; the requests that botocore would send do."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse

from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.settlements import Settlements
from backchannel.deliveries.table import Deliveries
from backchannel.errors import NotFoundError
from backchannel.logouts.mass.chunks import Chunks
from backchannel.logouts.mass.progress import Standings
from backchannel.logouts.mass.records import Work
from backchannel.logouts.mass.table import MassLogouts
from backchannel.logouts.mass.told import Told
from backchannel.logouts.table import Logouts
from backchannel.providers.table import Providers
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SubjectSessionsEnded
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions
from backchannel.tokens.fetched_documents import FetchedDocuments
from tests.support.aws_responses import response

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ISSUER = "https://idp.example"
NOW = 1_788_256_800_000
READS = {"GetItem", "Query", "BatchGetItem", "Scan"}


@dataclass
class EmptyTable:
    """What botocore would send to DynamoDB, where it finds nothing."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def client(self) -> "DynamoDBClient":
        client = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="test", aws_secret_access_key="test", aws_session_token="t"
        )
        client.meta.events.register("before-send.dynamodb", self._answer)  # type: ignore[arg-type] # what it returns is the answer
        return client

    def _answer(self, request: AWSRequest, **_: object) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        operation = (target if isinstance(target, str) else target.decode()).rpartition(".")[2]
        self.requests.append((operation, json.loads(request.body)))
        status, answer = _ANSWERS[operation]
        return response(request, status, json.dumps(answer).encode())

    @property
    def consistency(self) -> list[tuple[str, object]]:
        """Each read with what it says about consistency."""
        return [(operation, _consistent_read(sent)) for operation, sent in self.requests if operation in READS]


_ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "GetItem": (200, {}),
    "Query": (200, {"Items": [], "Count": 0, "ScannedCount": 0}),
    "Scan": (200, {"Items": [], "Count": 0, "ScannedCount": 0}),
    "BatchGetItem": (200, {"Responses": {"table": []}, "UnprocessedKeys": {}}),
    "UpdateItem": (400, {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}),
}


def _consistent_read(sent: dict[str, Any]) -> object:
    if "RequestItems" in sent:
        (of_table,) = sent["RequestItems"].values()
        return of_table.get("ConsistentRead")
    return sent.get("ConsistentRead")


type Read[T] = Callable[[T], object]

ADA = RpSession("wiki", "ada", NOW, "s1")
BY_SESSION, BY_SUBJECT = SessionEnded("s1", NOW, "e1"), SubjectSessionsEnded("ada", NOW, "e1")
OF_SESSIONS: dict[str, Read[Sessions]] = {
    "a start looks for tombstones": lambda at: at.start(ISSUER, RpSessionStarted("ada", "wiki", NOW, "s1"), NOW),
    "a session's page": lambda at: at.page(ISSUER, BY_SESSION, client_id=None, after=None, limit=2, now=NOW),
    "a session's page of a client": lambda at: at.page(ISSUER, BY_SESSION, client_id="wiki", after=None, limit=2, now=NOW),
    "a subject's page": lambda at: at.page(ISSUER, BY_SUBJECT, client_id=None, after=None, limit=2, now=NOW),
    "a subject's page of a client": lambda at: at.page(ISSUER, BY_SUBJECT, client_id="wiki", after=None, limit=2, now=NOW),
    "a mass logout's segment": lambda at: at.of_provider(ISSUER, None, (0, 2), after=None, limit=2, now=NOW),
    "another run's claim": lambda at: at.mark_again(ISSUER, ADA, NOW),
    "the operator's look at a subject": lambda at: at.of_subject(ISSUER, "ada", after=None, limit=2, now=NOW),
    "the operator's look at a session": lambda at: at.of_session(ISSUER, "s1", after=None, limit=2, now=NOW),
}
OF_DELIVERIES: dict[str, Read[Deliveries]] = {
    "why there is no lease": lambda at: at.check_out(DeliveryMessage("acme", "l1", "wiki", "s1"), NOW),
    "whether anything came of a delivery": lambda at: at.is_untouched("l1", "wiki", "s1"),
    "a logout's deliveries": lambda at: at.of_logout("l1", None, 2),
}
OF_SETTLEMENTS: dict[str, Read[Settlements]] = {
    "whether a logout is settled": lambda at: at.find("l1"),
    "whom a fan-out could not address": lambda at: at.unaddressable("l1", NOW),
}
OF_LOGOUTS: dict[str, Read[Logouts]] = {
    "a logout": lambda at: at.get("acme", "l1"),
    "how far a run has come": lambda at: at.progress("l1", "run"),
}
OF_MASS_LOGOUTS: dict[str, Read[MassLogouts]] = {
    "a mass logout": lambda at: at.get("m1"),
    "all of them": lambda at: at.page(None, 2),
    "whose turn it is": lambda at: at.take("m1", 1, NOW),
}
OF_CHUNKS: dict[str, Read[Chunks]] = {
    "listed subjects": lambda at: at.subjects("m1", 0),
    "totals": lambda at: at.totals("m1"),
    "totals of several": lambda at: at.totals_of(["m1"]),
    "segments": lambda at: at.segments("m1", 2),
    "work": lambda at: list(at.work("m1")),
    "a chunk": lambda at: at.entries("m1", Work(0, 0, 1)),
}
OF_PROVIDERS: dict[str, Read[Providers]] = {
    "a provider": lambda at: at.get("acme"),
    "the provider of an issuer": lambda at: at.by_issuer(ISSUER),
    "a source": lambda at: at.get_source("acme", "app"),
    "a client": lambda at: at.get_client("acme", "wiki"),
    "some clients": lambda at: at.get_clients("acme", ["wiki", "mail"]),
    "a page of providers": lambda at: at.listed(None, 2),
    "a page of sources": lambda at: at.sources_page("acme", None, 2),
}


def check[T](table: Callable[["DynamoDBClient", str], T], read: Read[T]) -> None:
    sent = EmptyTable()

    with contextlib.suppress(NotFoundError):
        read(table(sent.client(), "table"))

    assert sent.consistency
    assert {consistent for _, consistent in sent.consistency} == {True}, sent.consistency


@pytest.mark.parametrize("read", OF_SESSIONS.values(), ids=OF_SESSIONS)
def test_a_read_of_sessions_is_consistent(read: Read[Sessions]) -> None:
    check(Sessions, read)


@pytest.mark.parametrize("read", OF_DELIVERIES.values(), ids=OF_DELIVERIES)
def test_a_read_of_deliveries_is_consistent(read: Read[Deliveries]) -> None:
    check(Deliveries, read)


@pytest.mark.parametrize("read", OF_SETTLEMENTS.values(), ids=OF_SETTLEMENTS)
def test_a_look_for_a_settled_logout_is_consistent(read: Read[Settlements]) -> None:
    check(Settlements, read)


@pytest.mark.parametrize("read", OF_LOGOUTS.values(), ids=OF_LOGOUTS)
def test_a_read_of_logouts_is_consistent(read: Read[Logouts]) -> None:
    check(Logouts, read)


@pytest.mark.parametrize("read", OF_MASS_LOGOUTS.values(), ids=OF_MASS_LOGOUTS)
def test_a_read_of_mass_logouts_is_consistent(read: Read[MassLogouts]) -> None:
    check(MassLogouts, read)


@pytest.mark.parametrize("read", OF_CHUNKS.values(), ids=OF_CHUNKS)
def test_a_read_of_a_mass_logout_s_chunks_is_consistent(read: Read[Chunks]) -> None:
    check(Chunks, read)


def test_a_read_of_who_was_told_before_is_consistent() -> None:
    check(Told, lambda at: at.untold([replace(ADA, ended_by="l1")]))


def test_a_look_at_a_logout_of_a_mass_logout_is_consistent() -> None:
    check(Standings, lambda at: at.of("l1"))


@pytest.mark.parametrize("read", OF_PROVIDERS.values(), ids=OF_PROVIDERS)
def test_a_read_of_providers_is_consistent(read: Read[Providers]) -> None:
    check(Providers, read)


def test_a_read_of_a_fetched_document_is_consistent() -> None:
    check(FetchedDocuments, lambda at: at.get("key"))
