"""What one relying party does, or how much is waiting for it, does not delay the others."""

import pytest

from backchannel.deliveries.outcomes import PENDING, Status
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.acceptance import seconds_to_acceptance
from tests.support.backlog import Backlog
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import HANG, Answer, RelyingParty
from tests.support.unspeakable import new_id

READ_TIMEOUT = 5
"""Seconds that a relying party may be silent before it is given up on."""

BACKLOG = 100

WORKERS, BATCH = 4, 10
"""How many batches the local environment delivers at the same time (DeliveryConcurrency), and how many deliveries each has."""


@pytest.fixture
def other(provider: Provider, relying_party: MakeRelyingParty) -> tuple[str, RelyingParty]:
    """Return a client that does nothing wrong."""
    rp = relying_party()
    return provider.register_client(rp), rp


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


@pytest.mark.quiet
def test_a_logout_does_not_wait_for_the_retries_of_a_relying_party_that_hangs(
    stack: Stack, provider: Provider, relying_party: MakeRelyingParty, other: tuple[str, RelyingParty]
) -> None:
    cold, hanging = (provider.register_client(relying_party(HANG)) for _ in range(2))
    before = Backlog(stack, provider, cold, BACKLOG)  # as many workers start cold as the backlog keeps busy
    before.queue("RetryQueue")
    until(before.come_up, holds=lambda came_up: came_up == BACKLOG, seconds=60)
    seconds_to_acceptance(provider, *other)

    backlog = Backlog(stack, provider, hanging, BACKLOG)
    seconds_to_acceptance(provider, *other, before_the_end=lambda: backlog.queue("RetryQueue"))

    came_up, found = backlog.come_up(), backlog.deliveries()
    assert len(found) == BACKLOG
    assert {each.status for each in found} <= PENDING
    assert came_up < BACKLOG / 2


@pytest.mark.quiet
def test_a_relying_party_that_takes_its_time_makes_no_quick_one_wait(
    stack: Stack, provider: Provider, relying_party: MakeRelyingParty, other: tuple[str, RelyingParty]
) -> None:
    slow = provider.register_client(relying_party(Answer(delay=4.5)))
    before = Backlog(stack, provider, slow, WORKERS * BATCH)  # every worker learns that this client is slow
    before.queue("DeliveryQueue")
    until(before.come_up, holds=lambda came_up: came_up == WORKERS * BATCH, seconds=60)
    seconds_to_acceptance(provider, *other)

    many = Backlog(stack, provider, slow, 60)
    seconds_to_acceptance(provider, *other, before_the_end=lambda: many.queue("DeliveryQueue"))

    assert many.come_up() < 30
    until(many.come_up, holds=lambda came_up: came_up == 60, seconds=90)
    assert {each.status for each in many.deliveries()} == {Status.ACCEPTED}
