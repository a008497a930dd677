"""A process that dies at one of its calls to AWS: before it is sent, or after it took effect."""

from typing import Any


class Died(BaseException):
    """Nothing catches it: the process is gone."""


class Mortal:
    """Counts the calls of clients, and dies at the one that it was told."""

    def __init__(self, *clients: Any) -> None:
        self.calls = 0
        self._at: int | None = None
        self._after = False
        for client in clients:
            client.meta.events.register("before-call", self._before)
            client.meta.events.register("after-call", self._afterwards)

    def dies(self, at: int, *, after: bool) -> None:
        """Die at this call, counted from now."""
        self.calls, self._at, self._after = 0, at, after

    def lives(self) -> None:
        self._at = None

    def _before(self, **_: Any) -> None:
        self.calls += 1
        if self.calls == self._at and not self._after:
            raise Died

    def _afterwards(self, **_: Any) -> None:
        if self.calls == self._at and self._after:
            raise Died
