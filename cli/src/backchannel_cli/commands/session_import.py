"""Reports RP sessions of a file, batch by batch. A batch that fails is named, and does not hold up those behind it."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from backchannel_cli.errors import FailureError, NotAcceptedError, StoppedError, UsageError
from backchannel_cli.output import Column, Json
from backchannel_cli.run import Run
from backchannel_cli.service import path_of

LINES = 100
OCTETS = 1_000_000
"""What one request takes, with room to spare: the service takes 100 lines and 1 MiB."""

FAILURES = 3
"""So many batches in a row that fail, each after its repetitions: the service is down, and the rest would fail as well."""

AGAIN = "Run the same command again: what is stored already is not changed."

REFUSED = (
    Column("line", "line"),
    Column("code", "code"),
    Column("what", lambda each: "; ".join(f"{error['at']}: {error['what']}" for error in each["errors"])),
)

_BOM = "\ufeff".encode()


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that are sent together, without their ends, and the number of each in the file."""

    numbers: tuple[int, ...]
    lines: tuple[bytes, ...]

    def __str__(self) -> str:
        """Return which lines they are."""
        return f"lines {self.numbers[0]} to {self.numbers[-1]}"


@dataclass
class Imported:
    """What became of the lines."""

    started: int = 0
    ended: int = 0
    refused: list[Json] = field(default_factory=list)
    failed: list[Json] = field(default_factory=list)
    failures_in_a_row: int = 0

    def take(self, batch: Batch, answer: Json) -> None:
        self.failures_in_a_row = 0
        self.started += answer["started"]
        self.ended += answer["ended"]
        self.refused += [{**each, "line": batch.numbers[each["line"] - 1]} for each in answer["refused"]]

    def fail(self, batch: Batch, error: FailureError) -> None:
        self.failures_in_a_row += 1
        self.failed.append({"first": batch.numbers[0], "last": batch.numbers[-1], "error": str(error)})

    @property
    def document(self) -> Json:
        return {"started": self.started, "ended": self.ended, "refused": self.refused, "failed": self.failed}


def import_from(run: Run, provider: str, file: Path) -> None:
    """Send the lines of a file, and say what became of them.

    Raises:
        CommandError: not every line was stored, or ^C.

    """
    run.will_change(f"Importing sessions of {provider}")
    imported = Imported()
    with opened(file) as (stream, total):
        done = 0
        try:
            with run.output.progress(f"importing into {provider}", total) as progress:
                for batch in batches(stream):
                    _send(run, provider, batch, imported)
                    done = batch.numbers[-1]
                    progress(done)
        except KeyboardInterrupt as error:
            raise StoppedError(f"You stopped the import. {done} lines were sent.", AGAIN) from error
        finally:
            _report(run, imported)
    _judge(imported)


def _send(run: Run, provider: str, batch: Batch, imported: Imported) -> None:
    if len(batch.lines[0]) > OCTETS:
        what = {"at": "", "what": f"longer than {OCTETS} octets"}
        imported.refused.append({"line": batch.numbers[0], "code": "payload_too_large", "errors": [what]})
        return
    headers = {"Content-Type": "application/x-ndjson"}
    path, body = path_of("providers", provider, "sessions"), b"".join(line + b"\n" for line in batch.lines)
    try:
        answer = run.service.request("POST", path, body=body, headers=headers)
    except FailureError as error:
        run.output.say(f"{batch} failed: {error}")
        imported.fail(batch, error)
        if imported.failures_in_a_row == FAILURES:
            raise FailureError(
                f"{FAILURES} batches in a row failed; {batch} were the last.", f"{error.next_step} {AGAIN}"
            ) from error
    else:
        imported.take(batch, answer)


def _report(run: Run, imported: Imported) -> None:
    if run.output.is_json:
        run.output.document(imported.document)
        return
    told = f"; {imported.ended} of them had ended meanwhile: their clients are told now" if imported.ended else ""
    run.output.line(f"{imported.started} stored{told}.")
    if imported.refused:
        run.output.items(imported.refused, REFUSED)


def _judge(imported: Imported) -> None:
    if imported.failed:
        lines = ", ".join(f"{each['first']} to {each['last']}" for each in imported.failed)
        raise NotAcceptedError(f"Lines {lines} were not stored: the service failed.", AGAIN)
    if imported.refused:
        raise NotAcceptedError(
            f"{len(imported.refused)} lines were refused; all others are stored.",
            "Correct the lines that are named, and import them: in a file of their own, or with all others once more.",
        )


def batches(lines: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the lines in batches; blank lines are left out, and counted."""
    numbers, batch, octets = list[int](), list[bytes](), 0
    for number, raw in enumerate(lines, 1):
        line = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
        if not line:
            continue
        if batch and (len(batch) == LINES or octets + len(line) + 1 > OCTETS):
            yield Batch(tuple(numbers), tuple(batch))
            numbers, batch, octets = [], [], 0
        numbers.append(number)
        batch.append(line)
        octets += len(line) + 1
    if batch:
        yield Batch(tuple(numbers), tuple(batch))


@contextmanager
def opened(file: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """Open the file, or stdin; yield it with how many lines it has, if that can be told.

    Raises:
        UsageError: it cannot be read.

    """
    if str(file) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        total = _count(file) if file.is_file() else None
        stream = file.open("rb")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Give a file of JSON lines, or - for stdin.") from error
    with stream:
        yield stream, total


def _count(file: Path) -> int:
    with file.open("rb") as stream:
        return sum(1 for _ in stream)
