"""docs/reference/command.md: every command of `backchannel`, by its Typer app, and what it prints as JSON."""

import inspect
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import typer

from backchannel_cli import errors
from backchannel_cli.app import app


def items(of: str) -> str:
    return f'`{{"items": [...]}}`, each a {link(of)}'


def link(name: str) -> str:
    return f"[{name}](objects.md#{name.lower()})"


REMOVED = '`{"removed": "client acme/wiki"}`'
WATCHED = f"a line for each step: a {link('LogoutDeliveryView')}"
MASS = f"a {link('MassLogoutView')}"
MASS_WATCHED = f"a line for each look: {MASS}"

PRINTS = {
    "status": '`{"items": [...]}`, each `{"provider", "clients", "accepted", "failed", "failing", "sources", "silent",'
    ' "mass_logouts"}`; the numbers are today\'s',
    "check": "[the report](../receiver-check.md#for-programs)",
    "context": '`{"url", "account", "region", "stack", "environment", "prod", "found", "caller"}`',
    "doctor": '`{"items": [...]}`, each `{"question", "result", "what", "do"}`; `result` is `ok`, `wrong` or `unknown`',
    "provider list": items("ProviderView"),
    "provider show": f"a {link('ProviderView')}",
    "provider set": f"a {link('ProviderView')}",
    "provider rm": REMOVED,
    "source list": items("SourceView"),
    "source show": f"a {link('SourceWithActivity')}",
    "source set": f"a {link('SourceView')}",
    "source rm": REMOVED,
    "client list": items("ClientView"),
    "client show": f"a {link('ClientWithCircuit')}",
    "client set": f"a {link('ClientView')}",
    "client rm": REMOVED,
    "client pause": f"a {link('ClientView')}",
    "client resume": f"a {link('ClientView')}",
    "client failing": f"{items('ClientCountsView')}, with `provider`",
    "session list": items("RpSessionView"),
    "session import": '`{"started", "ended", "refused", "failed"}`: two numbers, refused lines, batches that were not sent',
    "logout new": f"a {link('LogoutAccepted')}; with `--watch`, as `logout watch`",
    "logout show": f"a {link('LogoutView')}, with all its deliveries",
    "logout watch": WATCHED,
    "logout list": items("ListedLogoutView"),
    "mass-logout plan": f"a {link('MassLogoutEstimate')}",
    "mass-logout start": f"{MASS}; with `--watch`, as `mass-logout watch`",
    "mass-logout watch": MASS_WATCHED,
    "mass-logout list": items("MassLogoutView"),
    "mass-logout show": MASS,
    "mass-logout pause": MASS,
    "mass-logout resume": MASS,
    "mass-logout cancel": MASS,
    "resend": '`{"queued", "skipped"}`: a number, and numbers by status',
    "tail": f"a line for each step: a {link('DeliveryView')}",
    "keys list": items("KeyView"),
    "keys rotate": items("KeyView"),
    "keys check": f"a {link('KeysCheckView')}",
    "test": f"a {link('ClientTestView')}",
    "trigger": f"a {link('WebhookTaken')}",
}
"""What `--json` prints, by the command."""


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group by their names, and those of the groups in it."""
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield " ".join((*path, name)), each


def page(note: str) -> Iterator[str]:
    """Yield the paragraphs of the page."""
    root = typer.main.get_command(app)
    yield "# The command"
    yield note
    yield (
        "Every command of `backchannel`. [Its README](../../cli/README.md) says how to install it, which service it talks to,"
        " and what all of them have in common; [sessions at a terminal](../recordings.md) show it at work."
    )
    yield "## Options of every command"
    yield "They may stand before the command or after it."
    yield _table(("option", ""), _options(root))
    yield "## Exit codes"
    yield _table(("code", ""), [("0", "Done."), *_exit_codes()])
    yield from _each(root)


def _each(root: Any) -> Iterator[str]:
    room = ""
    for name, command in commands(root):
        group = name.split()[0]
        if group != room and hasattr(root.commands[group], "commands"):
            yield f"## {group}"
            yield _words(root.commands[group])
        yield f"{'###' if ' ' in name else '##'} {name}"
        yield _words(command)
        yield f"`{_usage(name, command)}`"
        yield _table(("option", ""), _options(command))
        yield f"`--json`: {PRINTS[name]}."
        room = group


def _words(command: Any) -> str:
    """Return what a command's help says, with its example as code."""
    said = " ".join(str(command.help).split())
    return re.sub(r": (backchannel [^.]*(?:\.[^ .][^.]*)*)(\.|$)", r": `\1`.", said)


def _usage(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    return " ".join(["backchannel", name, *map(_argument, arguments)])


def _argument(argument: Any) -> str:
    said: str = argument.metavar or argument.name.upper()
    said = f"{said}..." if argument.nargs < 0 and not said.endswith("...") else said
    return said if argument.required or said.startswith("[") else f"[{said}]"


def _options(command: Any) -> Iterator[tuple[str, str]]:
    for each in command.params:
        if each.param_type_name == "option" and not each.hidden:
            yield ", ".join(f"`{name}{_value(each)}`" for name in each.opts), _help(each)


def _value(option: Any) -> str:
    return "" if option.is_flag else f" {option.metavar or option.name.upper()}"


def _help(option: Any) -> str:
    default = option.default.value if isinstance(option.default, Enum) else option.default
    kinds = option.type_descriptor.annotation
    among = ", ".join(f"`{each.value}`" for each in kinds) if inspect.isclass(kinds) and issubclass(kinds, Enum) else ""
    shown = isinstance(default, str | int | float) and not option.is_flag and default != ""
    parts = (option.help or "", f"One of {among}." if among else "", f"Default: `{default}`." if shown else "")
    return " ".join(part for part in (*parts, "Needed." if option.required else "") if part)


def _exit_codes() -> Iterator[tuple[str, str]]:
    kinds = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.CommandError)]
    for each in sorted(kinds, key=lambda kind: kind.exit_code):
        if each is not errors.CommandError:
            yield str(each.exit_code), inspect.getdoc(each) or ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines]) if lines else ""
