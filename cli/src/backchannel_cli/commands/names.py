"""How a command names things: ``acme``, and ``acme/wiki`` for a client or source of it."""

from typing import Annotated

import typer

from backchannel_cli.errors import UsageError
from backchannel_cli.run import Run

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="Such as acme.")]
OneProvider = Annotated[str | None, typer.Argument(metavar="[PROVIDER]", help="Only this one, such as acme.")]
Client = Annotated[str, typer.Argument(metavar="PROVIDER/CLIENT", help="Such as acme/wiki.")]
Source = Annotated[str, typer.Argument(metavar="PROVIDER/SOURCE", help="Such as acme/keycloak.")]
Settings = Annotated[
    list[str] | None, typer.Argument(metavar="[MEMBER=VALUE]...", help="Values are JSON, or text; @FILE reads one.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def providers(run: Run, one: str | None) -> list[str]:
    """Return the one provider that was named, or all."""
    return [one] if one else [each["provider"] for each in run.service.list("/providers", "providers")]


def both(name: str, what: str) -> tuple[str, str]:
    """Return the two parts of ``provider/client``; a client's id may have slashes of its own."""
    provider, _, rest = name.partition("/")
    if not provider or not rest:
        raise UsageError(f"{name!r} does not name a {what}.", f"Write PROVIDER/{what.upper()}, such as acme/wiki.")
    return provider, rest
