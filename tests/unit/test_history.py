"""What a delivery's record keeps of its attempts."""

import pytest

from backchannel.deliveries.history import KEPT, PastAttempt, past_attempts, with_attempt

AT = 1_788_256_800_000


def _attempt(number: int, address: str | None = "192.0.2.1") -> PastAttempt:
    return PastAttempt(AT + number, "http_503", 120 + number, address)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", None])
def test_an_attempt_is_read_as_it_was_kept(address: str | None) -> None:
    history = with_attempt(None, _attempt(0, address))

    assert past_attempts(history) == [_attempt(0, address)]


def test_no_history_is_no_attempts() -> None:
    assert past_attempts(None) == []


def test_the_last_twenty_attempts_are_kept_in_order() -> None:
    history = None
    for number in range(KEPT + 5):
        history = with_attempt(history, _attempt(number))

    assert past_attempts(history) == [_attempt(number) for number in range(5, KEPT + 5)]


def test_a_first_attempt_adds_less_than_a_hundred_octets() -> None:
    longest = PastAttempt(AT, "encryption_key_unavailable", 8_000, "2001:0db8:1111:2222:3333:4444:5555:6666")

    assert len("history" + with_attempt(None, longest)) < 100
