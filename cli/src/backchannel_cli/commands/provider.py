"""`backchannel provider`: the OpenID Providers that the service knows."""

from typing import Annotated

import typer

from backchannel_cli.output import Column
from backchannel_cli.run import of
from backchannel_cli.service import path_of

app = typer.Typer(help="OpenID Providers.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="PROVIDER", help="Such as acme.")]

COLUMNS = (Column("provider", "provider"), Column("issuer", "issuer"), Column("recipients", "recipients"))


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the providers: backchannel provider list."""
    run = of(context)
    run.output.items(list(run.service.list("/providers", "providers")), COLUMNS, none="There is no provider yet.")


@app.command()
def show(context: typer.Context, provider: Name) -> None:
    """Show a provider: backchannel provider show acme."""
    run = of(context)
    run.output.item(run.service.get(path_of("providers", provider)))
