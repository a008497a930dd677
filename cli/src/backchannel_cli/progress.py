"""Progress bars: at a terminal alone, and only for what takes its time."""

import time
from typing import Any, TextIO

PATIENCE = 2.0
"""Seconds before a bar appears."""


class Bar:
    """A progress bar that stays away from what is done at once."""

    def __init__(self, stream: TextIO, what: str, total: int | None) -> None:
        self._stream = stream
        self._what = what
        self._total = total
        self._began = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def show(self, done: int) -> None:
        if self._bar is None and time.monotonic() - self._began >= PATIENCE:
            self._begin()
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(file=self._stream))
        self._task = self._bar.add_task(self._what, total=self._total)
        self._bar.start()
