"""Looking at what was released: counts are exact, what is settled is not read again, and who is down is looked at seldom."""

from collections import Counter
from dataclasses import replace

import pytest

from backchannel.logouts.mass.progress import LOST_AFTER, MOST_CLIENTS, OTHERS, SELDOM, SOON, is_settled, looked
from backchannel.logouts.mass.records import FANNED_OUT, LOST, MassCounts, Work

NOW = 1_788_256_800_000
WORK = Work(0, 0, size=3, sent=3, left=(0, 1, 2), released_at=NOW)


def standing(*statuses: str, fanned_out: bool = True) -> MassCounts:
    return Counter({FANNED_OUT: int(fanned_out), **Counter(f"{status} wiki" for status in statuses)})


@pytest.mark.parametrize(
    ("tally", "settled"),
    [
        (standing("accepted", "rejected"), True),
        (standing(), True),  # nobody was to be told
        (standing("accepted", "retrying"), False),
        (standing("queued"), False),
        (standing("accepted", fanned_out=False), False),
    ],
)
def test_a_logout_is_settled_once_it_is_fanned_out_and_all_is_final(tally: MassCounts, settled: bool) -> None:  # noqa: FBT001 - a row
    assert is_settled(tally) == settled


def test_what_is_settled_stays_counted_and_is_not_left() -> None:
    first = looked(WORK, {0: standing("accepted"), 1: standing("retrying"), 2: Counter()}, Counter(), NOW)
    second = looked(first, {1: standing("accepted"), 2: standing("accepted")}, first.counted, NOW)

    assert (first.left, first.counted) == ((1, 2), Counter({FANNED_OUT: 2, "accepted wiki": 1, "retrying wiki": 1}))
    assert (second.left, second.counted) == ((), Counter({FANNED_OUT: 3, "accepted wiki": 3}))


def test_what_is_not_released_is_left() -> None:
    part = replace(WORK, sent=1)

    after = looked(part, {0: standing("accepted")}, Counter(), NOW)

    assert part.under_way == [0]
    assert (after.left, after.under_way) == ((1, 2), [])


def test_a_chunk_in_which_nothing_changes_is_looked_at_ever_more_seldom() -> None:
    waits, work = [], WORK
    for _ in range(12):
        work = looked(work, dict.fromkeys(range(3), standing("retrying")), work.counted, NOW)
        waits.append(work.wait)
    recovered = looked(work, dict.fromkeys(range(2), standing("accepted")), work.counted, NOW)

    assert waits[:4] == [SOON, 2 * SOON, 4 * SOON, 8 * SOON]
    assert waits[-1] == SELDOM
    assert (recovered.wait, recovered.look_at) == (SOON, NOW + SOON)


def test_clients_beyond_the_first_fifty_are_counted_together() -> None:
    work = Work(0, 0, size=60, sent=60, left=tuple(range(60)), released_at=NOW)
    seen = {n: Counter({FANNED_OUT: 1, f"retrying client-{n}": 1}) for n in range(60)}

    first = looked(work, seen, Counter(), NOW)
    second = looked(first, {n: Counter({FANNED_OUT: 1, f"accepted client-{n}": 1}) for n in range(60)}, first.counted, NOW)

    assert first.counted[f"retrying {OTHERS}"] == second.counted[f"accepted {OTHERS}"] == 60 - MOST_CLIENTS
    assert second.counted.total() == 120


@pytest.mark.parametrize(
    ("tally", "age", "waits", "is_lost"),
    [
        (standing(fanned_out=False), LOST_AFTER + 1, False, True),  # its message was purged
        (standing("retrying"), LOST_AFTER + 1, False, True),  # that of its delivery was
        (standing("retrying"), LOST_AFTER + 1, True, False),  # the client is paused
        (standing(fanned_out=False), LOST_AFTER - 1, False, False),
        (standing("retrying"), LOST_AFTER - 1, False, False),
        (standing("accepted"), LOST_AFTER + 1, False, False),
    ],
)
def test_a_logout_of_which_nothing_will_come_is_lost_and_not_left(
    tally: MassCounts,
    age: int,
    waits: bool,  # noqa: FBT001 - a row
    is_lost: bool,  # noqa: FBT001 - a row
) -> None:
    work = replace(WORK, size=1, sent=1, left=(0,), released_at=NOW - age)

    after = looked(work, {0: tally}, Counter(), NOW, lambda _: waits)

    assert after.counted[LOST] == after.settled[LOST] == is_lost
    assert after.left == (() if is_lost or is_settled(tally) else (0,))
