import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from hypothesis import Phase, settings
from pytest_socket import disable_socket

from backchannel.runtime.observability import logger, metrics

settings.register_profile("mutants", deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


def pytest_runtest_setup() -> None:
    disable_socket()


class Log:
    """What the service wrote to its log during a test."""

    def __init__(self) -> None:
        self._stream = io.StringIO()

    def capture(self, source: Logger) -> Iterator["Log"]:
        handler = source.registered_handler
        before = handler.setStream(self._stream)  # type: ignore[attr-defined] # it is a StreamHandler
        yield self
        handler.setStream(before)  # type: ignore[attr-defined]

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    yield from Log().capture(logger)


@pytest.fixture
def no_metrics() -> Iterator[None]:
    """Begin and end without any metric: they are kept in one place for the whole process."""
    metrics.clear_metrics()
    metrics.namespace = "Backchannel"
    yield
    metrics.clear_metrics()
