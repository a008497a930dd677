"""What a usual logout writes: each call and each write unit more is paid for with every delivery there is."""

import time
from collections import Counter
from dataclasses import dataclass

import boto3
import pytest

from backchannel.aws.sqs import Queue
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.table import Deliveries
from backchannel.logouts.fan_out import FanOut
from backchannel.logouts.table import Logouts
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Providers
from backchannel.sessions.events import SessionEnded
from backchannel.sessions.intake import end_message
from backchannel.sessions.table import Sessions
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.counted_calls import CountedCalls
from tests.support.delivery_function import delivery_function
from tests.support.provider import SOURCE, Provider
from tests.support.queues import FakeQueue
from tests.support.recorded import all_of_logout
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.inside

RPS = 5
WRITES = ("PutItem", "UpdateItem")


@dataclass(frozen=True, slots=True)
class Taken:
    """The calls and the write units that something took."""

    calls: Counter[str]
    units: Counter[str]

    @classmethod
    def by(cls, counted: CountedCalls) -> "Taken":
        taken = cls(counted.calls.copy(), counted.units.copy())
        counted.clear()
        return taken


def fan_out(counted: CountedCalls, provider: Provider, sid: str, queues: list[str]) -> str:
    """Carry out the end that a source has reported, and return the logout's id."""
    tables, dynamodb, sqs = provider.stack.tables, counted.client("dynamodb"), counted.client("sqs")
    using = FanOut(
        Providers(dynamodb, tables["ProvidersTable"]),
        Sessions(dynamodb, tables["SessionsTable"]),
        Logouts(dynamodb, tables["DeliveriesTable"]),
        Deliveries(dynamodb, tables["DeliveriesTable"]),
        Queue(sqs, queues[0]),
        Queue(sqs, queues[1]),
        mass_logout_ended_queue=FakeQueue(),
        mass_delivery_queue=FakeQueue(),
        activities=SourceActivities(dynamodb, tables["SourceActivityTable"]),
    )
    now = round(time.time() * 1000)
    message = end_message(provider.name, provider.issuer, SessionEnded(sid, now, new_id("event")), source=SOURCE)
    assert using.carry_out(message, now=lambda: now, time_is_short=lambda: False, is_repeated=False)
    return message.logout_id


def test_a_usual_logout_takes_no_more_writes_than_these(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five relying parties take their token at the first attempt."""
    counted, sid, sub = CountedCalls(provider.stack), new_id("sid"), new_id("sub")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", counted.session)
    clients = [provider.register_client(relying_party()) for _ in range(RPS)]
    for client_id in clients:
        provider.start(client_id, sub=sub, sid=sid)

    with delivery_function(aws, monkeypatch) as function:
        logout = fan_out(counted, provider, sid, [function.urls["dead"], function.urls["first"]])
        fanned_out = Taken.by(counted)
        function.drain("first")
        delivered = Taken.by(counted)
        records = list(all_of_logout(function.deliveries, logout))

    assert [(each.status, each.attempts) for each in records] == [(Status.ACCEPTED, 1)] * RPS
    # session_ended: tombstone; the logout is opened and closed; each RP session is claimed, marked, and gets its delivery.
    assert sum(fanned_out.calls[each] for each in WRITES) == 3 + 3 * RPS
    assert fanned_out.units == {
        "SessionsTable": 1 + 2 * RPS,
        "DeliveriesTable": 2 + RPS,
        "by_client": RPS,
        "logouts_by_time": 1,
    }
    # delivery: the lease and the outcome, which moves the delivery in its index; one count for each client of a batch.
    assert sum(delivered.calls[each] for each in WRITES) == 2 * RPS + RPS
    assert delivered.units == {"DeliveriesTable": 2 * RPS, "by_client": 2 * RPS, "ClientCountsTable": RPS}
