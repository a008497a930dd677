"""A turn releases as fast as it is told to, also where few are found at a time, and is not slowed down by what it waits for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from backchannel.aws.dynamodb import Page
from backchannel.logouts.mass.audience import Audience
from backchannel.logouts.mass.chunks import Segment, _parts
from backchannel.logouts.mass.ledger import Ledger
from backchannel.logouts.mass.pacing import CATCH_UP, Pace, after_release
from backchannel.logouts.mass.reader import SEGMENTS, Reader
from backchannel.logouts.mass.records import Entry, MassLogout, Totals, Work
from backchannel.logouts.mass.table import TakenTurn
from backchannel.logouts.mass.turn import CONTROL, SLICE, Turn
from backchannel.providers.clients import Client
from backchannel.reasons import Reason
from backchannel.sessions.rp_sessions import RpSession
from tests.support.queues import FakeQueue

NOW = 1_788_256_800_000
CLIENTS = {"wiki": Client("wiki", backchannel_logout_uri="https://wiki.example/")}
CALL = 10
"""Milliseconds that a call to a table takes here."""


@dataclass
class Account:
    """Tables in memory, and a clock that each call moves on; ``per_page`` RP sessions are found in a page."""

    rate: int = 200
    pages: int = 4
    per_page: int = 1000
    works: list[Work] = field(default_factory=list)
    at: int = NOW
    looks: int = 0
    renewed: list[int] = field(default_factory=list)
    queue: FakeQueue = field(default_factory=FakeQueue)
    ended: FakeQueue = field(default_factory=FakeQueue)
    stored: dict[tuple[int, int], list[Entry]] = field(default_factory=dict)

    def call(self) -> None:
        self.at += CALL

    # --- chunks -----------------------------------------------------------------------------------------------------------

    def totals(self, _: str) -> Totals:
        return Totals(is_read=bool(self.works), version=1)

    def segments(self, _: str, number: int) -> list[Segment]:
        return [Segment(each) for each in range(number)]

    def work(self, _: str) -> Iterator[Work]:
        for each in self.works:
            self.at += 1
            yield each

    def entries(self, _: str, work: Work) -> list[Entry]:
        self.call()
        return self.stored.get((work.segment, work.number)) or [Entry(f"u{n}", None, {"wiki": 1}, 1) for n in range(work.size)]

    def add(self, _: str, segment: Segment, found: Sequence[Entry], totals: Totals, now: int) -> Any:  # noqa: ARG002
        self.call()
        parts = list(_parts(found))
        works = [
            Work(segment.number, segment.chunks + n, len(part), left=tuple(range(len(part)))) for n, part in enumerate(parts)
        ]
        return replace(segment, chunks=segment.chunks + len(parts)), list(zip(works, parts, strict=True)), totals

    def finish_reading(self, _: str, totals: Totals, now: int) -> Totals:  # noqa: ARG002
        return replace(totals, is_read=True)

    def save(self, _: str, changes: Sequence[tuple[Work, Work]], totals: tuple[Totals, Totals], now: int) -> Any:  # noqa: ARG002
        self.call()
        assert len(changes) < 100
        return [after for _, after in changes], totals[1]

    # --- the others -------------------------------------------------------------------------------------------------------

    def of_provider(self, _: str, __: object, segment: tuple[int, int], *, after: Any, limit: int, now: int) -> Page[Any, Any]:  # noqa: ARG002
        self.call()
        page = after or 0
        found = [RpSession("wiki", f"u{segment}-{page}-{n}", NOW - 1) for n in range(self.per_page)]
        return Page(found, page + 1 if page + 1 < self.pages else None)

    def untold(self, sessions: Sequence[RpSession]) -> list[RpSession]:
        return [*sessions]

    def look(self, _: MassLogout, chunk: tuple[Work, Any], __: object, now: int, ___: object) -> Work:
        self.looks += 1
        self.at += 5 * CALL
        return replace(chunk[0], look_at=now + 600_000, counted=Counter())

    def renew(self, taken: TakenTurn, _: object, now: int) -> TakenTurn:
        self.renewed.append(now)
        return taken

    def give_back(self, *_: object) -> bool:
        return True

    def end_all(self, *_: object) -> None:
        raise AssertionError

    def sleep(self, seconds: float) -> None:
        self.at += round(seconds * 1000)

    def turn(self, pace: Pace | None = None) -> None:
        """Work a turn, after others that left this pace."""
        mass = MassLogout("m1", "acme", "https://idp.example", "s", NOW, NOW, Reason.COMPROMISED, self.rate, self.rate, "arn")
        mass = replace(mass, pace=pace or mass.pace)
        this: Any = self
        reader = Reader(this, this, self.untold, lambda: self.at)
        turn = Turn(
            *(this, this, this, this, reader, Audience(CLIENTS, mass.reason), self.queue, self.ended),
            cast("Any", None),
            lambda: self.at,
            self.sleep,
            TakenTurn(mass, "lease"),
        )
        assert turn.work()


@pytest.mark.parametrize("rate", [30, 1_000])
def test_the_rate_is_kept_whatever_it_is(rate: int) -> None:
    account = Account(rate)

    account.turn()

    assert len(account.ended.sent) == pytest.approx(rate * (SLICE + CATCH_UP) / 1000, rel=0.05)


def test_the_rate_is_kept_where_few_are_found_in_each_page() -> None:
    account = Account(rate=400, pages=10_000, per_page=10)

    account.turn()

    assert len(account.ended.sent) == pytest.approx(400 * (SLICE + CATCH_UP) / 1000, rel=0.05)


def test_a_turn_at_a_new_rate_does_not_wait_for_what_was_to_go_at_the_old_one() -> None:
    account = Account(rate=1_000)

    account.turn(after_release(Pace(), {"wiki": 600}, NOW, 1, 1))

    assert len(account.ended.sent) == pytest.approx(1_000 * SLICE / 1000, rel=0.05)


def test_everybody_is_released_once() -> None:
    account = Account(rate=10_000, pages=2, per_page=30)

    account.turn()

    bodies = [message.body for message in account.ended.sent]
    assert len(bodies) == len(set(bodies)) == SEGMENTS * 2 * 30


def test_looks_do_not_hold_the_release_up_and_do_not_wait_for_its_end() -> None:
    waiting = [Work(0, n, 50, sent=50, left=tuple(range(50))) for n in range(300)]
    account = Account(rate=200, works=[*waiting, *[Work(1, n, 50, left=tuple(range(50))) for n in range(300)]])

    account.turn()

    assert len(account.ended.sent) == pytest.approx(200 * (SLICE + CATCH_UP) / 1000, rel=0.05)
    assert account.looks > 50


def test_the_turn_is_kept_while_very_many_chunks_are_read() -> None:
    account = Account(works=[Work(0, n, 1, sent=1, left=(0,), look_at=NOW + 10**9) for n in range(20_000)])

    account.turn()

    gaps = [after - before for before, after in zip(account.renewed, account.renewed[1:], strict=False)]
    assert len(account.renewed) >= 19
    assert max(gaps) <= CONTROL + 1


def test_a_step_costs_little_however_many_chunks_there_are() -> None:
    reads = 0

    class Counted(dict[Any, Any]):
        def __getitem__(self, place: object) -> Any:
            nonlocal reads
            reads += 1
            return super().__getitem__(place)

    ledger = Ledger(cast("Any", Account()), "m1", Totals(), Counted())
    for number in range(20_000):
        ledger.know(Work(0, number, 1, sent=number % 2, left=(0,), look_at=NOW + number))

    first = next(ledger.waiting())
    at = ledger.look_at()

    assert (first.number, at, ledger.to_look_at().number) == (0, NOW + 1, 1)
    assert reads < 5


def test_chunks_are_as_long_as_what_is_written() -> None:
    entries = [Entry(f"{n}" + "x" * 250, None, {f"client-{n}" + "y" * 250: 1}, 1) for n in range(50)]

    assert [len(part) for part in _parts(entries)] == [50]
    assert len(list(_parts([replace(each, sub="☃" * 2000) for each in entries]))) > 1
