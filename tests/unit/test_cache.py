import inspect
import time
from collections.abc import Callable

import pytest

from backchannel.errors import NotFoundError, StorageUnavailable
from backchannel.providers.cache import CACHE_SECONDS, MAX_ENTRIES, MISS_SECONDS, cached, with_misses


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


@pytest.mark.parametrize(("age", "expected"), [(4.999, "wiki-0"), (5.0, "wiki-1")])
def test_a_value_is_kept_for_less_than_its_cache_s_own_seconds(age: float, expected: str) -> None:
    clock = StoppedClock()
    cache = cached(counting(), clock, seconds=5.0)
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


class Registry:
    """Holds what is registered, and counts the reads."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.reads = 0
        self.is_broken = False

    def get(self, name: str) -> str:
        self.reads += 1
        if self.is_broken:
            raise StorageUnavailable("ThrottlingException")
        if name not in self.names:
            raise NotFoundError.of("source", name)
        return name


@pytest.mark.parametrize(("age", "reads"), [(0.0, 1), (MISS_SECONDS - 0.001, 1), (MISS_SECONDS, 2)])
def test_what_was_not_found_is_not_looked_for_again_within_miss_seconds(age: float, reads: int) -> None:
    registry, clock = Registry(), StoppedClock()
    get = cached(with_misses(registry.get, clock), clock)
    with pytest.raises(NotFoundError, match="no source 'wiki'"):
        get("wiki")

    clock.now += age

    with pytest.raises(NotFoundError, match="no source 'wiki'"):
        get("wiki")
    assert registry.reads == reads


def test_what_is_registered_after_a_miss_is_found_within_miss_seconds() -> None:
    registry, clock = Registry(), StoppedClock()
    get = cached(with_misses(registry.get, clock), clock)
    with pytest.raises(NotFoundError):
        get("wiki")
    registry.names.add("wiki")

    clock.now += MISS_SECONDS

    assert get("wiki") == "wiki"


def test_an_internal_failure_is_no_miss() -> None:
    registry, clock = Registry(), StoppedClock()
    get = with_misses(registry.get, clock)
    registry.is_broken = True
    with pytest.raises(StorageUnavailable):
        get("wiki")

    registry.is_broken, registry.names = False, {"wiki"}

    assert get("wiki") == "wiki"


def test_only_so_many_misses_are_remembered() -> None:
    registry = Registry()
    get = with_misses(registry.get, StoppedClock())

    for name in (*map(str, range(MAX_ENTRIES + 1)), "0"):
        with pytest.raises(NotFoundError):
            get(name)

    assert registry.reads == MAX_ENTRIES + 2
