"""`backchannel source`: the webhook senders of a provider."""

from typing import Annotated

import typer

from backchannel_cli import secrets, settings
from backchannel_cli.commands.names import Provider, Settings, Source, Yes, both
from backchannel_cli.output import Column
from backchannel_cli.run import of
from backchannel_cli.service import path_of

app = typer.Typer(help="Webhook senders of a provider.", no_args_is_help=True)

COLUMNS = (
    Column("source", "source"),
    Column("format", "format"),
    Column("sid_trust", "sid_trust"),
    Column("expected_interval", "expected_interval"),
)

Secret = Annotated[bool, typer.Option("--secret-stdin", help="Read the secret from stdin; at a terminal, ask for it.")]
Previous = Annotated[
    bool, typer.Option("--previous-secret-stdin", help="Read the secret that is still accepted, too, from the next line.")
]


@app.command("list")
def list_(context: typer.Context, provider: Provider) -> None:
    """List the webhook senders of a provider: backchannel source list acme."""
    run = of(context)
    sources = run.service.list(path_of("providers", provider, "sources"), "sources")
    run.output.items(list(sources), COLUMNS, none=f"{provider} has no source yet.")


@app.command()
def show(context: typer.Context, source: Source) -> None:
    """Show a webhook sender and what it has sent: backchannel source show acme/keycloak."""
    run, path = of(context), path_of_source(source)
    run.output.item(run.service.get(path))


@app.command("set")
def set_(
    context: typer.Context,
    source: Source,
    members: Settings = None,
    *,
    secret: Secret = False,
    previous_secret: Previous = False,
) -> None:
    """Change or create a webhook sender: backchannel source set acme/keycloak format=keycloak --secret-stdin."""
    run, path = of(context), path_of_source(source)
    document = settings.members(members or [])
    if secret:
        document["secret"] = secrets.read(run, "secret")
    if previous_secret:
        document["previous_secret"] = secrets.read(run, "previous secret")
    settings.change(run, path, f"source {source}", document)


@app.command()
def rm(context: typer.Context, source: Source, *, yes: Yes = False) -> None:
    """Remove a webhook sender, its secrets and its counts: backchannel source rm acme/keycloak."""
    settings.remove(of(context), path_of_source(source), f"source {source}", yes=yes)


def path_of_source(name: str) -> str:
    provider, source = both(name, "source")
    return path_of("providers", provider, "sources", source)
