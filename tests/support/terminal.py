"""Runs commands at a real terminal (a pty of a fixed width), types what a person would, and records what is shown."""

import codecs
import fcntl
import os
import pty
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.screen import Screen

WIDTH = 120
BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}"
LATER = "(later)"

INTERRUPT = "\x03"
"""What ^C sends."""

SOURCES = Path(__file__).resolve().parents[2] / "cli" / "src"

# Makes its standard input the terminal that it is controlled by, so that ^C reaches it; then becomes the command.
_BEHIND = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Typed:
    """What is typed as soon as the screen shows something; keys may be made only then."""

    when: str
    keys: str | Callable[[], str]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command left on the screen, and how it ended."""

    code: int
    text: str


@dataclass
class Terminal:
    """A terminal; ``transcript`` is what was typed and shown. A command may take ``patience`` seconds."""

    width: int = WIDTH
    directory: Path = field(default_factory=Path.cwd)
    patience: float = 300
    environment: dict[str, str] = field(default_factory=dict)
    transcript: list[str] = field(default_factory=list)

    def note(self, words: str) -> None:
        """Write a comment into the transcript."""
        self.transcript += ([""] if self.transcript else []) + [f"# {words}"]

    def run(self, line: str, *typed: Typed, frame: Callable[[str], bool] | None = None) -> Shown:
        """Run a command line that begins with `backchannel`; the first frame that is as wanted is kept, too."""
        screen, frames, remaining = Screen(), list[str](), list(typed)
        name, *words = shlex.split(line)
        assert name == "backchannel"
        self.transcript.append(f"$ {line}")
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, self.width, 0, 0))
        program = [sys.executable, "-m", "backchannel_cli", *words]
        process = subprocess.Popen(  # noqa: S603 - words of a test
            [sys.executable, "-c", _BEHIND, *program],
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            cwd=self.directory,
            env=self._environment(),
        )
        os.close(side)
        try:
            for text in _output(main, time.monotonic() + self.patience):
                screen.write(text)
                if remaining and remaining[0].when in screen.text:
                    keys = remaining.pop(0).keys
                    os.write(main, (keys if isinstance(keys, str) else keys()).encode())
                if frame and not frames and frame(screen.text):
                    frames.append(screen.text)
            code = process.wait(timeout=30)
        finally:
            process.kill()
            process.wait()
            os.close(main)
        shown = Shown(code, screen.text)
        self.transcript += with_bars_of(frames, shown.text.splitlines())
        if code:
            self.transcript.append(f"(exit code {code})")
        return shown

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SOURCES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "TERM": "xterm",
            "HOME": "/nonexistent",
            **self.environment,
        }


def with_bars_of(frames: list[str], lines: list[str]) -> list[str]:
    """Return the lines with the bars of an earlier frame, and LATER, before their own bars."""
    earlier = [line for frame in frames for line in frame.splitlines() if BAR in line]
    place = next((number for number, line in enumerate(lines) if BAR in line), len(lines))
    return lines[:place] + ([*earlier, LATER] if earlier else []) + lines[place:]


def _output(main: int, deadline: float) -> Iterator[str]:
    """Yield what a pty shows, until its other side is closed.

    Raises:
        AssertionError: that takes too long.

    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        assert time.monotonic() < deadline, "the command takes too long"
        if not select.select([main], [], [], 0.5)[0]:
            continue
        try:
            octets = os.read(main, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            return
        if not octets:
            return
        yield decoder.decode(octets)
