"""What a command prints: data to stdout, as a table or as JSON; messages and progress bars to stderr."""

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

from backchannel_cli.progress import Bars

Json = dict[str, Any]
Cell = Callable[[Json], object]
T = TypeVar("T")

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what a terminal obeys rather than shows: control characters, marks of direction, line ends."""

_NOT_ASCII = re.compile(r"[^ -~]")
_NOT_JSON = re.compile(r"[^\n -~]")
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and the member of an item that it shows, or what makes its text of the item."""

    heading: str
    value: str | Cell

    def text(self, item: Json) -> str:
        return shown(item.get(self.value) if isinstance(self.value, str) else self.value(item))


class Output:
    """Where a command prints; every text is cleaned here, whoever it comes from."""

    def __init__(self, *, is_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.is_json = is_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    # --- data ---------------------------------------------------------------------------------------------------------

    def items(self, items: Sequence[Json], columns: Sequence[Column], *, none: str = "none") -> None:
        """Print a list: a table, or ``{"items": [...]}``. An empty table is a message that says so."""
        if self.is_json:
            self.document({"items": list(items)})
        elif items:
            self._table([column.heading for column in columns], [[column.text(item) for column in columns] for item in items])
        else:
            self.say(none)

    def item(self, item: Mapping[str, Any]) -> None:
        """Print one resource: a line for each member, or the resource as JSON."""
        if self.is_json:
            self.document(item)
        else:
            self._table(None, [[clean(name), shown(value)] for name, value in item.items()])

    def document(self, document: Any) -> None:
        """Print a JSON document."""
        self._write(json_text(document, indent=2))

    def result(self, document: Mapping[str, Any], sentence: str) -> None:
        """Print what a change came to: a sentence, or its document as JSON."""
        if self.is_json:
            self.document(document)
        else:
            self._write(clean(sentence))

    def event(self, document: Json, text: str) -> None:
        """Print one of many things as it happens: a line of text, or a line of JSON."""
        self._write(json_text(document) if self.is_json else clean(text))
        self._stdout.flush()

    def line(self, text: str) -> None:
        """Print a line of text; under ``--json`` it is a message, since stdout belongs to the document."""
        if self.is_json:
            self.say(text)
        else:
            self._write(clean(text))

    # --- messages -----------------------------------------------------------------------------------------------------

    def say(self, message: str) -> None:
        """Print a message for the person at the terminal."""
        self._stderr.write(clean(message) + "\n")
        self._stderr.flush()

    def ask(self, question: str) -> None:
        """Print a question, and leave the cursor behind it."""
        self._stderr.write(clean(question))
        self._stderr.flush()

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Yield what takes how much is done by now; on a terminal, a bar shows it once two seconds have passed."""
        with self.bars(what) as show:
            yield lambda done: show(0, done, total)

    @property
    def has_bars(self) -> bool:
        """Whether there is a terminal for progress bars."""
        return self._stderr.isatty()

    @contextmanager
    def bars(self, *names: str) -> Iterator[Callable[[int, int, int | None], None]]:
        """Yield what takes which bar, how much is done, and of how much; on a terminal, there is a bar for each name."""
        if not self.has_bars:
            yield lambda *_: None
            return
        bars = Bars(self._stderr, [clean(name) for name in names])
        try:
            yield bars.show
        finally:
            bars.end()

    def each(self, things: Sequence[T], what: str) -> Iterator[T]:
        """Yield one thing after the other, and show how many are done."""
        with self.progress(what, len(things)) as show:
            for number, thing in enumerate(things):
                show(number)
                yield thing

    # --- tables -------------------------------------------------------------------------------------------------------

    def _table(self, headings: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
        if self._stdout.isatty():
            self._fitted_table(headings, rows)
        else:
            self._plain_table(rows if headings is None else [headings, *rows])

    def _plain_table(self, rows: Sequence[Sequence[str]]) -> None:
        """For a pipe or a file: a line for each row, whole."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self._write(_GAP.join(map(str.ljust, row, widths)).rstrip())

    def _fitted_table(self, headings: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
        """For a terminal: as wide as it is, with long texts folded."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), show_header=headings is not None)
        for heading in headings or rows[0]:
            table.add_column(Text(heading if headings else ""), overflow="fold", header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))
        Console(file=self._stdout, highlight=False).print(table)

    def _write(self, text: str) -> None:
        self._stdout.write(text + "\n")


def clean(text: str) -> str:
    r"""Return a text with what a terminal would obey made visible: ESC becomes ``\x1b``. Whoever wrote it may be hostile."""
    return _NOT_ASCII.sub(lambda found: found[0].encode("unicode_escape").decode() if _is_hidden(found[0]) else found[0], text)


def json_text(document: Any, indent: int | None = None) -> str:
    """Return JSON that can be read in any language, and in which nothing is hidden."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return _NOT_JSON.sub(lambda found: json.dumps(found[0])[1:-1] if _is_hidden(found[0]) else found[0], text)


def shown(value: object) -> str:
    """Return how a table shows a value of JSON."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return clean(value)
        case list() if all(isinstance(each, str) for each in value):
            return clean(", ".join(value)) or "-"
        case list() | dict():
            return json_text(value)
        case _:
            return clean(str(value))


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN
