"""Progress bars: at a terminal alone, and only for what takes its time."""

import time
from collections.abc import Sequence
from typing import Any, TextIO

PATIENCE = 2.0
"""Seconds before a bar appears."""


class Bars:
    """Progress bars that stay away from what is done at once."""

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self._stream = stream
        self._names = names
        self._began = time.monotonic()
        self._progress: Any = None
        self._tasks: list[Any] = []

    def show(self, number: int, done: int, total: int | None) -> None:
        if self._progress is None and time.monotonic() - self._began >= PATIENCE:
            self._begin()
        if self._progress is not None:
            self._progress.update(self._tasks[number], completed=done, total=total)

    def end(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(file=self._stream))
        self._tasks = [self._progress.add_task(name, total=None) for name in self._names]
        self._progress.start()
