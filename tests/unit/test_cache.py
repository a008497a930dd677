import inspect
import time
from collections.abc import Callable

import pytest

from backchannel.providers.cache import CACHE_SECONDS, cached


class StoppedClock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def counting() -> Callable[[str], str]:
    """Return what loads another value every time."""
    numbers = iter(range(100))
    return lambda key: f"{key}-{next(numbers)}"


@pytest.mark.parametrize(
    ("age", "expected"), [(0.0, "wiki-0"), (CACHE_SECONDS - 0.001, "wiki-0"), (CACHE_SECONDS, "wiki-1"), (3600.0, "wiki-1")]
)
def test_a_value_is_kept_for_less_than_cache_seconds(age: float, expected: str) -> None:
    clock = StoppedClock()
    cache = cached(counting(), clock)
    cache("wiki")

    clock.now += age

    assert cache("wiki") == expected


def test_a_value_that_was_loaded_anew_is_kept_as_long_as_the_first() -> None:
    clock = StoppedClock()
    cache = cached(counting(), clock)
    cache("wiki")
    clock.now += CACHE_SECONDS
    cache("wiki")

    clock.now += CACHE_SECONDS - 0.001

    assert cache("wiki") == "wiki-1"


def test_the_cache_goes_by_the_wall_clock_which_runs_on_while_an_environment_is_frozen() -> None:
    assert inspect.signature(cached).parameters["clock"].default is time.time


def test_each_key_has_a_value_of_its_own() -> None:
    cache = cached(counting(), StoppedClock())

    assert [cache("wiki"), cache("mail"), cache("wiki")] == ["wiki-0", "mail-1", "wiki-0"]


def test_what_loading_raised_is_not_kept() -> None:
    def load(key: str) -> str:
        if not failures:
            return key
        raise failures.pop()

    failures = [KeyError("gone")]
    cache = cached(load, StoppedClock())

    with pytest.raises(KeyError):
        cache("wiki")

    assert cache("wiki") == "wiki"
