"""`backchannel`, and `python -m backchannel_cli`: runs a command, and says how it ended."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from traceback import extract_tb

from typer.exceptions import Abort, TyperException

from backchannel_cli.app import app
from backchannel_cli.errors import CommandError, UsageError
from backchannel_cli.output import clean

FLAGS = frozenset({"--local", "--json", "--no-input"})
VALUES = frozenset({"--url", "--stack", "--region", "--profile"})
"""The options of every command, which Typer takes only before its name."""

INTERRUPTED = 130

ANOTHER_VERSION = (
    "See that service and command are of the same version (--version shows it); otherwise it is a defect of the command."
)


def main(arguments: Sequence[str] | None = None) -> None:
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code."""
    _open_streams()
    try:
        return _carried_out(arguments)
    except BrokenPipeError:
        _forget_output()  # whoever read it has had enough (`| head`); nothing is left that could be said to him
        return 1
    except OSError as error:
        _forget_output()
        return say(f"backchannel: {error}\nSee that files can be read and written, and that the disk has room.", 1)


def _carried_out(arguments: Sequence[str]) -> int:
    try:
        _refuse_bytes(arguments)
        code = app(args=first(arguments), prog_name="backchannel", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # Typer has caught ^C
            raise KeyboardInterrupt  # noqa: TRY301 - one place says so
    except KeyboardInterrupt:
        return say("Interrupted. What the service has taken on goes on there.", INTERRUPTED)
    except CommandError as error:
        return say(f"backchannel: {error}\n{error.next_step}", error.exit_code)
    except TyperException as error:
        return say(misunderstood(error), error.exit_code)
    except Abort:
        return say("backchannel: nothing was changed.", INTERRUPTED)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge: nobody is shown a traceback
        return say(f"backchannel: {_unforeseen(error)}\n{ANOTHER_VERSION}", 1)
    return code if isinstance(code, int) else 0


def _open_streams() -> None:
    """Give the command the streams that a shell may have closed (`<&-`), and have what they cannot write escaped."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the end of the program
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Let what is left of the output go nowhere, so that the end of the program does not fail at it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse_bytes(arguments: Sequence[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{argument!r} is not UTF-8.", "Write it in UTF-8.") from None


def _unforeseen(error: Exception) -> str:
    """Return where the command failed; not with which values, which may be secrets."""
    places = [frame for frame in extract_tb(error.__traceback__) if "backchannel_cli" in frame.filename]
    where = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"it does not understand what came back: {type(error).__name__}{where}."


def first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the options of every command before its name, wherever they stood."""
    before: list[str] = []
    rest: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if argument == "--":
            rest += [argument, *remaining]
            break
        if argument in FLAGS or (argument.partition("=")[0] in VALUES and "=" in argument):
            before.append(argument)
        elif argument in VALUES and remaining:
            before += [argument, remaining.pop(0)]
        else:
            rest.append(argument)
    return before + rest


def misunderstood(error: TyperException) -> str:
    """Return what Typer says of a command line: what is wrong with it, or the help of a group without a command."""
    text = str(error)
    context = getattr(error, "ctx", None)
    return (
        text
        if text.startswith("Usage:")
        else f"backchannel: {text}\nSee `{context.command_path if context else 'backchannel'} --help`."
    )


def say(message: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write("\n".join(clean(line) for line in message.splitlines()) + "\n")
    return code


if __name__ == "__main__":
    main()
