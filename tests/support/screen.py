"""What a terminal shows of what was written to it: as much of one as tables, prompts and progress bars need."""

import re

_CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n\b\x07])")


class Screen:
    """Lines without end, and a cursor. Colours are left out; what it does not know, it raises."""

    def __init__(self) -> None:
        self._lines = [""]
        self._row = 0
        self._column = 0
        self._held = ""

    def write(self, text: str) -> None:
        text = self._held + text
        # A sequence may come in two parts.
        cut = text.rfind("\x1b") if re.search(r"\x1b(\[[?0-9;]*)?$", text) else len(text)
        text, self._held = text[:cut], text[cut:]
        place = 0
        for found in _CONTROL.finditer(text):
            self._put(text[place : found.start()])
            place = found.end()
            self._obey(found)
        self._put(text[place:])

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._lines).rstrip("\n")

    def _obey(self, found: re.Match[str]) -> None:
        match found[3], found[2]:
            case "\r", _:
                self._column = 0
            case "\n", _:
                self._move(1)
            case "\b", _:
                self._column = max(0, self._column - 1)
            case "\x07", _:
                pass
            case _, "A":
                self._row = max(0, self._row - int(found[1] or 1))
            case _, "K" if found[1] == "2":
                self._lines[self._row] = ""
            case _, "m" | "h" | "l":
                pass
            case _:
                raise AssertionError(f"the screen does not know {found[0]!r}")

    def _move(self, rows: int) -> None:
        self._row += rows
        while self._row >= len(self._lines):
            self._lines.append("")

    def _put(self, text: str) -> None:
        assert "\x1b" not in text, text
        if text:
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
            self._column += len(text)
