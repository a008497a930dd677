"""`backchannel client`: the relying parties of a provider."""

from typing import Annotated

import typer

from backchannel_cli.commands.names import both
from backchannel_cli.output import Column
from backchannel_cli.run import of
from backchannel_cli.service import path_of

app = typer.Typer(help="Relying parties of a provider.", no_args_is_help=True)

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="Such as acme.")]
Client = Annotated[str, typer.Argument(metavar="PROVIDER/CLIENT", help="Such as acme/wiki.")]

COLUMNS = (
    Column("client", "client_id"),
    Column("backchannel_logout_uri", "backchannel_logout_uri"),
    Column("alg", "id_token_signed_response_alg"),
    Column("subject", "subject"),
    Column("paused", "paused"),
)


@app.command("list")
def list_(context: typer.Context, provider: Provider) -> None:
    """List the relying parties of a provider: backchannel client list acme."""
    run = of(context)
    clients = run.service.list(path_of("providers", provider, "clients"), "clients")
    run.output.items(list(clients), COLUMNS, none=f"{provider} has no client yet.")


@app.command()
def show(context: typer.Context, client: Client) -> None:
    """Show a relying party and its circuit: backchannel client show acme/wiki."""
    run = of(context)
    run.output.item(run.service.get(path_of_client(client)))


def path_of_client(name: str) -> str:
    provider, client = both(name, "client")
    return path_of("providers", provider, "clients", client)
