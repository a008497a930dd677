import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from local.client import Stack
from tests.support import unspeakable
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.relying_party import Answer, RelyingParty

type MakeRelyingParty = Callable[..., RelyingParty]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Look at the end at what earlier tests began, and at the logs, when all other tests have left theirs."""
    items.sort(key=lambda item: item.get_closest_marker("late") is not None)


@pytest.fixture(scope="session", autouse=True)
def began() -> Iterator[float]:
    """Return when the tests began, in seconds since the epoch."""
    began = time.time()
    yield began
    unspeakable.leave(began)


@pytest.fixture(scope="session")
def aws(stack: Stack) -> Aws:
    return Aws(stack)


@pytest.fixture
def provider(stack: Stack) -> Provider:
    """Return a provider of the test's own."""
    return _created(stack)


@pytest.fixture(scope="module")
def shared_provider(stack: Stack) -> Provider:
    """Return a provider for tests that do not care what others do with it."""
    return _created(stack)


@pytest.fixture
def relying_party() -> Iterator[MakeRelyingParty]:
    """Start relying parties with the answers that they are to give."""
    with contextlib.ExitStack() as running:

        def start(*answers: Answer) -> RelyingParty:
            return running.enter_context(RelyingParty(*answers))

        yield start


def _created(stack: Stack) -> Provider:
    provider = Provider(stack)
    provider.create()
    return provider
