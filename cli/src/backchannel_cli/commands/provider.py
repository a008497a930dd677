"""`backchannel provider`: the OpenID Providers that the service knows."""

import typer

from backchannel_cli import settings
from backchannel_cli.commands.names import Provider, Settings, Yes
from backchannel_cli.output import Column
from backchannel_cli.run import of
from backchannel_cli.service import path_of

app = typer.Typer(help="OpenID Providers.", no_args_is_help=True)

COLUMNS = (Column("provider", "provider"), Column("issuer", "issuer"), Column("recipients", "recipients"))


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the providers: backchannel provider list."""
    run = of(context)
    run.output.items(list(run.service.list("/providers", "providers")), COLUMNS, none="There is no provider yet.")


@app.command()
def show(context: typer.Context, provider: Provider) -> None:
    """Show a provider: backchannel provider show acme."""
    run = of(context)
    run.output.item(run.service.get(path_of("providers", provider)))


@app.command("set")
def set_(context: typer.Context, provider: Provider, members: Settings = None) -> None:
    """Change or create a provider: backchannel provider set acme issuer=https://idp.example."""
    settings.change(of(context), path_of("providers", provider), f"provider {provider}", settings.members(members or []))


@app.command()
def rm(context: typer.Context, provider: Provider, *, yes: Yes = False) -> None:
    """Remove a provider that has no sources and clients: backchannel provider rm acme."""
    settings.remove(of(context), path_of("providers", provider), f"provider {provider}", yes=yes)
