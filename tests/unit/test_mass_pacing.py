"""A mass logout goes as fast as it was told, to every client and in all, and makes up for little of what it missed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.logouts.mass.pacing import CATCH_UP, MOST_KEPT, Pace, after_release, at_rates, kept, ready_at

NOW = 1_788_256_800_000


def released(clients: list[dict[str, int]], rate: int, client_rate: int, *, turns: range) -> list[int]:
    """Return when each logout is released by a run that looks at these times."""
    pace, times, left = Pace(), list[int](), list(clients)
    for now in turns:
        while left and ready_at(pace, left[0]) <= now:
            pace = after_release(pace, left.pop(0), now, rate, client_rate)
            times.append(now)
    return times


@pytest.mark.parametrize(("rate", "client_rate", "a_second"), [(30, 100, 10), (300, 10, 10), (60, 10, 10), (30, 5, 5)])
def test_the_rate_is_kept_in_all_and_for_each_client(rate: int, client_rate: int, a_second: int) -> None:
    times = released([{"a": 1, "b": 1, "c": 1}] * 1000, rate, client_rate, turns=range(NOW, NOW + 30_000, 50))

    assert len(times) == pytest.approx(a_second * (30 + CATCH_UP / 1000), rel=0.02)
    later = [at for at in times if at >= NOW + 10_000]
    assert len(later) == pytest.approx(a_second * 20, rel=0.02)


def test_clients_do_not_wait_for_each_other_s_rate() -> None:
    times = released([{"a": 1}, {"b": 1}] * 500, 1000, 10, turns=range(NOW, NOW + 10_000, 50))

    assert len(times) == pytest.approx(20 * (10 + CATCH_UP / 1000), rel=0.05)


@pytest.mark.parametrize("gap", [500, 2_000, 30_000, 3_600_000])
def test_no_more_is_made_up_for_after_a_gap_than_two_seconds(gap: int) -> None:
    pace = Pace()
    for _ in range(100):
        pace = after_release(pace, {"a": 1}, NOW, 10, 10)  # ten seconds' worth

    later = round(pace.next_at) + gap
    burst = 0
    while ready_at(pace, {"a": 1}) <= later:
        pace = after_release(pace, {"a": 1}, later, 10, 10)
        burst += 1

    assert burst == pytest.approx(min(gap, CATCH_UP) / 100, abs=1)


def test_a_client_that_is_sent_a_token_for_each_sid_is_sent_no_more_a_second() -> None:
    times = released([{"a": 3, "b": 1}] * 1000, 1000, 30, turns=range(NOW, NOW + 30_000, 50))

    assert len([at for at in times if at >= NOW + 10_000]) == pytest.approx(10 * 20, rel=0.02)


def test_of_very_many_clients_those_are_kept_whose_turn_comes_last() -> None:
    pace = Pace(NOW, {f"client-{number}": NOW + number for number in range(MOST_KEPT + 9)})

    stored = kept(pace)

    assert stored["next_at"] == NOW
    assert set(stored["of_client"]) == {f"client-{number}" for number in range(9, MOST_KEPT + 9)}


def test_a_subject_whom_no_client_knows_is_one_token() -> None:
    pace = after_release(Pace(NOW), {}, NOW, 10, 1)

    assert (pace.next_at, pace.of_client) == (NOW + 100, {})


def test_a_new_rate_holds_from_the_next_release_on() -> None:
    pace = after_release(Pace(NOW), {"a": 1}, NOW, 10, 10)

    faster = after_release(pace, {"a": 1}, NOW + 100, 100, 100)

    assert (pace.next_at, faster.next_at) == (NOW + 100, NOW + 110)


@pytest.mark.parametrize(
    ("rate", "client_rate", "waits"), [(10, 10, 58_000), (100, 100, 5_800), (100, 10, 28_000), (5, 5, 116_000)]
)
def test_what_is_still_to_be_waited_for_is_waited_for_at_the_new_rate(rate: int, client_rate: int, waits: int) -> None:
    pace = after_release(Pace(), {"a": 300, "b": 300}, NOW, 10, 10)

    changed = at_rates(pace, NOW, rate, client_rate)

    assert ready_at(changed, {"a": 1}) == pytest.approx(NOW + waits)
    assert at_rates(changed, NOW, 10, 10).next_at == pytest.approx(pace.next_at)


def test_clients_who_are_told_nothing_more_are_forgotten() -> None:
    pace = after_release(Pace(), {"a": 1}, NOW, 100, 100)

    assert [*after_release(pace, {"b": 1}, NOW + CATCH_UP + 1, 100, 100).of_client] == ["b"]


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 4)), max_size=200),
    st.integers(1, 50),
    st.integers(1, 50),
    st.lists(st.integers(0, 4_000), min_size=1, max_size=50),
)
def test_in_no_ten_seconds_is_more_released_than_twelve_allow(
    clients: list[dict[str, int]], rate: int, client_rate: int, gaps: list[int]
) -> None:
    pace, now, left, log = Pace(), NOW, list(clients), list[tuple[int, dict[str, int]]]()
    for gap in gaps:
        now += gap
        while left and ready_at(pace, left[0]) <= now:
            pace = after_release(pace, left[0], now, rate, client_rate)
            log.append((now, left.pop(0)))

    seconds = (10_000 + CATCH_UP) / 1000
    for began, _ in log:
        window = [told for at, told in log if began <= at < began + 10_000]
        largest = max(max(1, sum(told.values())) for told in window)
        assert sum(max(1, sum(told.values())) for told in window) <= rate * seconds + largest
        for client in "abc":
            most = max(told.get(client, 0) for told in window)
            assert sum(told.get(client, 0) for told in window) <= client_rate * seconds + most
