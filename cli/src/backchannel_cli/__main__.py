"""`backchannel`, and `python -m backchannel_cli`: runs a command, and says how it ended."""

import os
import sys
from collections.abc import Sequence

from typer.exceptions import Abort, TyperException

from backchannel_cli.app import app
from backchannel_cli.errors import CommandError
from backchannel_cli.output import clean

FLAGS = frozenset({"--local", "--json", "--no-input"})
VALUES = frozenset({"--url", "--stack", "--region", "--profile"})
"""The options of every command, which Typer takes only before its name."""

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is shown \xe4
    try:
        code = app(args=first(arguments), prog_name="backchannel", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # Typer has caught ^C
            raise KeyboardInterrupt  # noqa: TRY301 - one place says so
    except BrokenPipeError:
        # Whoever read the output has had enough (`| head`); nothing is left that could be said to him.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return say("Interrupted. What the service has taken on goes on there.", INTERRUPTED)
    except CommandError as error:
        return say(f"backchannel: {error}\n{error.next_step}", error.exit_code)
    except TyperException as error:
        return say(misunderstood(error), error.exit_code)
    except Abort:
        return say("backchannel: nothing was changed.", INTERRUPTED)
    return code if isinstance(code, int) else 0


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
