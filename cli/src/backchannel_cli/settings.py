"""`set`: changes what exists, or creates what does not; members and values as the API has them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backchannel_cli.errors import NotFoundError, UsageError
from backchannel_cli.run import Run

SECRETS = frozenset({"secret", "previous_secret"})

HOW = "Write member=value, such as exp=60 or allowed_networks='[\"10.0.0.0/8\"]', or member=@FILE."


def members(words: Iterable[str]) -> dict[str, Any]:
    """Return the members of ``member=value`` words: a value is JSON, or else text; ``@FILE`` is what a file holds.

    Raises:
        UsageError: a word is something else, or has a secret.

    """
    found = texts(words)
    for name in SECRETS & found.keys():
        raise UsageError(
            f"A {name} is not taken from the command line, where others can read it.",
            "Give --secret-stdin (and --previous-secret-stdin), and the secret as a line of stdin.",
        )
    return {name: _value(_content(text[1:]) if text.startswith("@") else text) for name, text in found.items()}


def texts(words: Iterable[str]) -> dict[str, str]:
    """Return the members of ``member=value`` words, each value as the text that it is."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, found[name] = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{word!r} is no setting.", HOW)
    return found


def change(run: Run, path: str, name: str, document: dict[str, Any]) -> None:
    """Change a resource, or create it if there is none; print what it is now."""
    run.will_change(f"Setting {name}")
    try:
        now = run.service.patch(path, document)
        run.output.say(f"Changed {name}.")
    except NotFoundError:
        now = run.service.put(path, document)
        run.output.say(f"Created {name}.")
    run.output.item(now)


def remove(run: Run, path: str, name: str, *, yes: bool) -> None:
    """Remove a resource, once the operator has agreed."""
    run.will_change(f"Removing {name}")
    run.confirm(f"Remove {name}?", yes=yes)
    run.service.delete(path)
    run.output.result({"removed": name}, f"Removed {name}.")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _content(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name} cannot be read: {error}", HOW) from error
