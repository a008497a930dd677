from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from backchannel.aws.dynamodb import Page
from backchannel.deliveries.messages import DeliveryMessage, WakeMessage, read
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.records import DeliveryRecord, status_changed
from backchannel.deliveries.table import STRANDED, Deliveries
from backchannel.deliveries.waking import AGAIN, CLIENT_PAUSED, LONGEST, PAGE, Waker, wake_up
from backchannel.errors import MessageNotUnderstood, NotFoundError, QueueUnavailable
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from tests.support.queues import FakeQueue

NOW = 1_788_256_800_000
WAKE = WakeMessage("acme", "wiki", NOW)
PAUSED = DeliveryRecord(
    *("acme", "l0", "wiki", "s1", "ada", None, Status.QUEUED, 0, "https://idp.example", NOW - 9000, NOW - 9000, NOW - 9000),
    last_code=CLIENT_PAUSED,
    next_attempt_at=NOW + 600_000,
)


@dataclass
class Table:
    """Pending deliveries of one client; each page that is read takes some time."""

    records: dict[str, DeliveryRecord]
    clock: int = NOW
    page_takes: int = 0
    on_hasten: Callable[[DeliveryRecord], None] = lambda _: None
    pages: int = 0

    def of_client(
        self, issuer: str, client_id: str, within: tuple[str, str], *, after: dict[str, str] | None, limit: int
    ) -> Page[DeliveryRecord, dict[str, str]]:
        assert (issuer, client_id) == (PAUSED.issuer, "wiki")
        self.pages, self.clock = self.pages + 1, self.clock + self.page_takes
        keys = {(status_changed(each.status, each.updated_at), each.logout_id): each for each in self.records.values()}
        behind = ("", "") if after is None else (after["status_changed"], after["pk"])
        found = [keys[each] for each in sorted(keys) if within[0] <= each[0] <= within[1] and each > behind]
        last = None if len(found) <= limit else found[limit - 1]
        place = {"pk": last.logout_id, "sk": "", "status_changed": status_changed(last.status, last.updated_at)} if last else None
        return Page(found[:limit], place)

    def hasten(self, record: DeliveryRecord, now: int) -> bool:
        stored = self.records[record.logout_id]
        due = stored.next_attempt_at or stored.updated_at
        waits = stored.status in PENDING and (due > now or due < now - STRANDED)
        if waits:
            self.records[record.logout_id] = replace(stored, next_attempt_at=None)  # its place in the index stays
            self.on_hasten(record)
        return waits


@dataclass
class World:
    records: list[DeliveryRecord]
    client: Client | None = field(default_factory=lambda: Client("wiki"))
    page_takes: int = 0
    queue: FakeQueue = field(default_factory=FakeQueue)

    def __post_init__(self) -> None:
        self.table = Table({each.logout_id: each for each in self.records}, page_takes=self.page_takes)

    def wake(self, message: WakeMessage = WAKE) -> None:
        Waker(
            lambda name: Provider(name, PAUSED.issuer, ()),
            self._client,
            cast("Deliveries", self.table),
            self.queue,
            lambda: self.table.clock,
        ).wake(message)

    def wake_to_the_end(self) -> list[str]:
        """Handle a message and those that follow it; return whose deliveries were queued."""
        woken, messages = list[str](), [WAKE]
        while messages:
            self.queue.sent.clear()
            self.wake(messages.pop())
            read_ = [read(each.body) for each in self.queue.sent]
            woken += [each.logout_id for each in read_ if isinstance(each, DeliveryMessage)]
            messages += [each for each in read_ if isinstance(each, WakeMessage)]
        return woken

    def _client(self, *_: str) -> Client:
        if self.client is None:
            raise NotFoundError
        return self.client


def many(count: int, **changes: object) -> list[DeliveryRecord]:
    return [replace(PAUSED, logout_id=f"l{number:06}", **changes) for number in range(count)]  # type: ignore[arg-type]


def test_both_walks_are_queued_the_second_one_later() -> None:
    queue = FakeQueue()

    wake_up(queue, "acme", "wiki", NOW)

    assert [(read(each.body), each.delay) for each in queue.sent] == [(WAKE, 0), (WAKE, AGAIN)]


@pytest.mark.parametrize("page_takes", [0, LONGEST])
def test_every_pending_delivery_is_woken_once_however_many_messages_it_takes(page_takes: int) -> None:
    records = [*many(3 * PAGE), *(replace(each, logout_id=f"r{each.logout_id}", status=Status.RETRYING) for each in many(PAGE))]
    world = World(records, page_takes=page_takes)

    woken = world.wake_to_the_end()

    assert sorted(woken) == sorted(each.logout_id for each in records)
    assert {each.next_attempt_at for each in world.table.records.values()} == {None}


def test_a_walk_leaves_the_rest_to_a_message_behind_which_it_ends() -> None:
    world = World(many(3 * PAGE), page_takes=LONGEST)

    world.wake()

    (following,) = [each for each in map(read, (sent.body for sent in world.queue.sent)) if isinstance(each, WakeMessage)]
    assert (world.table.pages, following.status) == (1, "queued")
    assert following.after is not None


def test_a_client_that_goes_on_failing_is_not_attempted_again_and_again() -> None:
    world = World(many(3 * PAGE, status=Status.RETRYING))

    def fails_at_once(record: DeliveryRecord) -> None:
        later = world.table.clock + 1
        world.table.records[record.logout_id] = replace(
            record, last_code="http_503", updated_at=later, next_attempt_at=later + 5000
        )

    world.table.on_hasten = fails_at_once

    assert len(world.wake_to_the_end()) == 3 * PAGE
    assert world.wake_to_the_end() == []


@pytest.mark.parametrize(
    ("change", "is_woken"),
    [
        ({}, True),
        ({"last_code": "http_503"}, True),  # waited for another reason when the client was resumed
        ({"last_code": "http_503", "updated_at": NOW + 1}, False),  # was attempted since
        ({"updated_at": NOW + 1}, True),  # an attempt that was under way still saw the pause
        ({"next_attempt_at": None}, False),  # is due: its message is in a queue
        ({"next_attempt_at": NOW - STRANDED - 1}, True),  # SQS may have forgotten its message
        ({"status": Status.ACCEPTED}, False),
    ],
)
def test_what_waits_is_woken_and_nothing_else(change: dict[str, object], is_woken: bool) -> None:  # noqa: FBT001 - drawn
    world = World(many(1, **change))

    assert len(world.wake_to_the_end()) == is_woken


def test_nobody_is_woken_who_is_paused_again_or_not_there_any_more() -> None:
    for client in (Client("wiki", paused=True), None):
        world = World(many(1), client=client)

        assert world.wake_to_the_end() == []
        assert world.table.pages == 0


def test_what_was_hastened_but_not_queued_is_queued_by_the_next_try() -> None:
    world = World(many(5), queue=FakeQueue(broken=True))

    with pytest.raises(QueueUnavailable):
        world.wake()
    world.queue.broken = False
    world.wake(replace(WAKE, is_repeated=True))

    assert len(world.queue.sent) == 5


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"provider": "acme"}', WAKE.to_json().replace(str(NOW), '"soon"')])
def test_a_message_of_neither_kind_is_not_understood(body: str) -> None:
    with pytest.raises(MessageNotUnderstood):
        read(body)
