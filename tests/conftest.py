import pytest

from local.client import STACK_FILE, Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """Return the service as `make up` has deployed it to the local AWS."""
    if not STACK_FILE.exists():
        pytest.fail(f"the local stack is not up ({STACK_FILE} is missing): run `make up` first", pytrace=False)
    return Stack.load()
