"""`backchannel status`: is something wrong, and where?"""

import typer

from backchannel_cli.output import Column
from backchannel_cli.run import of

COLUMNS = (Column("provider", "provider"), Column("issuer", "issuer"))


def status(context: typer.Context) -> None:
    """Say how each provider is doing: backchannel status."""
    run = of(context)
    run.output.items(list(run.service.list("/providers", "providers")), COLUMNS, none="There is no provider yet.")
