from collections.abc import Generator

import pytest

from local.client import STACK_FILE, Stack
from tests.support import alone


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    alone.now_running(alone=item.get_closest_marker("alone") is not None)
    return (yield)


@pytest.fixture(scope="session")
def stack() -> Stack:
    """Return the service as `make up` has deployed it to the local AWS."""
    if not STACK_FILE.exists():
        pytest.fail(f"the local stack is not up ({STACK_FILE} is missing): run `make up` first", pytrace=False)
    return Stack.load()
