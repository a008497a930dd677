from collections.abc import Generator

import pytest
from hypothesis import settings

from local.client import STACK_FILE, Stack
from tests.support import alone

# Each run tries the same examples, so only a change can make it fail; --hypothesis-profile=search looks for new ones.
settings.register_profile("same examples", deadline=None, derandomize=True, database=None)  # a busy machine breaks no promise
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("same examples")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    alone.now_running(alone=any(item.get_closest_marker(name) for name in ("alone", "quiet")))
    return (yield)


@pytest.fixture(scope="session")
def stack() -> Stack:
    """Return the service as `make up` has deployed it to the local AWS."""
    if not STACK_FILE.exists():
        pytest.fail(f"the local stack is not up ({STACK_FILE} is missing): run `make up` first", pytrace=False)
    return Stack.load()
