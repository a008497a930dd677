"""Requests that change one source at the same time: its settings and its secret stay those of one of them."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backchannel.errors import StorageUnavailable
from backchannel.providers.source_changes import LEASE, SourceChanges
from local.client import Stack
from tests.support.aws import Aws

pytestmark = pytest.mark.inside


class Clock:
    """Goes on only where somebody waits."""

    def __init__(self) -> None:
        self.at = round(time.time() * 1000)

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += round(seconds * 1000)


@pytest.fixture
def provider() -> str:
    return f"idp-{secrets.token_hex(6)}"


def changes(aws: Aws, stack: Stack, clock: Clock | None = None) -> SourceChanges:
    table = stack.tables["ProvidersTable"]
    if clock is None:
        return SourceChanges(aws.client("dynamodb"), table)
    return SourceChanges(aws.client("dynamodb"), table, now=clock.now, sleep=clock.sleep)


def test_of_many_changes_at_once_each_has_the_source_for_itself(provider: str, aws: Aws, stack: Stack) -> None:
    source, together, most = changes(aws, stack), [0], [0]
    start = threading.Barrier(4)

    def change(_: int) -> None:
        start.wait()
        with source.alone(provider, "app"):
            together[0] += 1
            most[0] = max(most[0], together[0])
            time.sleep(0.05)
            together[0] -= 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(change, range(4)))

    assert (most, together) == ([1], [0])


def test_who_does_not_get_the_source_is_told_and_another_source_is_free(provider: str, aws: Aws, stack: Stack) -> None:
    first, second = changes(aws, stack, Clock()), changes(aws, stack, Clock())

    with first.alone(provider, "app"):
        with pytest.raises(StorageUnavailable), second.alone(provider, "app"):
            pytest.fail("somebody else has it")
        with second.alone(provider, "other"):
            pass
    with second.alone(provider, "app"):
        pass


def test_a_change_that_died_keeps_the_source_no_longer_than_it_could_have_run(provider: str, aws: Aws, stack: Stack) -> None:
    clock = Clock()
    died = changes(aws, stack, clock).alone(provider, "app")
    died.__enter__()

    clock.at += LEASE
    with changes(aws, stack, clock).alone(provider, "app"):
        died.__exit__(None, None, None)  # it was only slow, and must not let go of what another has by now
        with pytest.raises(StorageUnavailable), changes(aws, stack, Clock()).alone(provider, "app"):
            pytest.fail("somebody else has it")


def test_a_change_that_fails_lets_go_of_the_source(provider: str, aws: Aws, stack: Stack) -> None:
    source = changes(aws, stack, Clock())

    with pytest.raises(ValueError, match="refused"), source.alone(provider, "app"):
        raise ValueError("refused")
    with source.alone(provider, "app"):
        pass
