"""What one relying party does, or how much is waiting for it, does not delay the others."""

import secrets
import time
from collections.abc import Callable

import pytest

from backchannel.deliveries import Deliveries
from backchannel.delivery_items import DeliveryRecord
from backchannel.fanout import Delivery
from backchannel.messages import DeliveryMessage, EndMessage
from backchannel.outcomes import PENDING
from backchannel.queues import Outgoing, Queue
from local.client import Stack
from tests.stack.aws import Aws
from tests.stack.conftest import MakeRelyingParty
from tests.stack.polling import until
from tests.stack.provider import Provider
from tests.stack.relying_party import HANG, Answer, RelyingParty
from tests.stack.unspeakable import new_id

READ_TIMEOUT = 5
"""Seconds that a relying party may be silent before it is given up on."""

BACKLOG = 200
LOGOUTS = 5


@pytest.fixture
def other(provider: Provider, relying_party: MakeRelyingParty) -> tuple[str, RelyingParty]:
    """Return a client that does nothing wrong."""
    rp = relying_party()
    return provider.register_client(rp), rp


def seconds_to_acceptance(provider: Provider, client_id: str, rp: RelyingParty) -> float:
    """End a session of one client, and return how long it takes until the client has its token."""
    sid, before = new_id("sid"), len(rp.requests)
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    ended_at = time.time()
    provider.end_session(sid)
    until(lambda: len(rp.requests) > before, seconds=60)
    return rp.requests[before].at - ended_at


def queue_backlog(stack: Stack, aws: Aws, provider: Provider, client_id: str, count: int) -> Callable[[], list[DeliveryRecord]]:
    """Queue many deliveries of one client, as the fan-out of a subject's sessions does; return what looks at them."""
    now = round(time.time() * 1000)
    sub, logout = new_id("sub"), secrets.token_hex(16)
    run = EndMessage(provider.name, logout, "run", now, source_event_id="", sub=sub)
    deliveries = Deliveries(aws.client("dynamodb"), stack.tables["DeliveriesTable"])
    sids = [new_id("sid") for _ in range(count)]
    for sid in sids:
        deliveries.record(run, Delivery(client_id, sid, sub, None), now)
    Queue(aws.client("sqs"), stack.queues["DeliveryQueue"]).send(
        Outgoing(DeliveryMessage(provider.name, logout, client_id, sid).to_json(), (provider.name, client_id)) for sid in sids
    )
    return lambda: list(deliveries.all_of_logout(logout))


def test_a_relying_party_that_hangs_in_a_batch_delays_no_other(provider: Provider, relying_party: MakeRelyingParty) -> None:
    hanging, healthy = relying_party(HANG), [relying_party() for _ in range(9)]
    sub, sid = new_id("sub"), new_id("sid")
    for rp in (hanging, *healthy):
        provider.start(provider.register_client(rp), sub=sub, sid=sid)

    logout = provider.end_session(sid)
    provider.wait_for(logout, lambda found: [each["status"] for each in found].count("accepted") == len(healthy))

    (hung,) = until(lambda: hanging.requests[:1])
    assert [len(rp.requests) for rp in healthy] == [1] * len(healthy)
    assert max(rp.requests[0].at for rp in healthy) < hung.at + READ_TIMEOUT


def test_a_logout_is_accepted_while_the_backlog_of_a_relying_party_that_is_down_still_waits(
    stack: Stack, provider: Provider, relying_party: MakeRelyingParty, aws: Aws, other: tuple[str, RelyingParty]
) -> None:
    down = provider.register_client(relying_party(Answer(503)))
    seconds_to_acceptance(provider, *other)  # nothing is cold any more

    backlog = queue_backlog(stack, aws, provider, down, BACKLOG)
    seconds_to_acceptance(provider, *other)  # how long it takes is for the benchmark to say

    found = backlog()
    assert len(found) == BACKLOG
    assert {each.status for each in found} <= PENDING
