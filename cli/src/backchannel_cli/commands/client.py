"""`backchannel client`: the relying parties of a provider."""

from typing import Annotated

import typer

from backchannel_cli import settings, times
from backchannel_cli.commands.names import Client, OneProvider, Provider, Settings, Yes, both, providers
from backchannel_cli.errors import NotFoundError
from backchannel_cli.output import Column, Json
from backchannel_cli.run import Run, of
from backchannel_cli.service import path_of

app = typer.Typer(help="Relying parties of a provider.", no_args_is_help=True)

COLUMNS = (
    Column("client", "client_id"),
    Column("backchannel_logout_uri", "backchannel_logout_uri"),
    Column("alg", "id_token_signed_response_alg"),
    Column("subject", "subject"),
    Column("paused", "paused"),
)

FAILING = (
    Column("provider", "provider"),
    Column("client", "client_id"),
    Column("failed", "failed"),
    Column("accepted", "accepted"),
    Column("codes", lambda item: ", ".join(f"{code} ({count})" for code, count in item["failed_by_code"].items())),
    Column("failed attempts", "failed_attempts"),
    Column("p95 ms", "p95_ms"),
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
    run, path = of(context), path_of_client(client)
    run.output.item(run.service.get(path))


@app.command("set")
def set_(context: typer.Context, client: Client, members: Settings = None) -> None:
    """Change or register a relying party: backchannel client set acme/wiki exp=60."""
    run, path, document = of(context), path_of_client(client), settings.members(members or [])
    if "typ" in document and document["typ"] is None:
        run.will_change(f"Setting client {client}")
        run.output.item(run.service.put(path, _whole(run, path) | document))
    else:
        settings.change(run, path, f"client {client}", document)


@app.command()
def rm(context: typer.Context, client: Client, *, yes: Yes = False) -> None:
    """Remove a relying party; what is pending for it is given up: backchannel client rm acme/wiki."""
    settings.remove(of(context), path_of_client(client), f"client {client}", yes=yes)


@app.command()
def pause(context: typer.Context, client: Client) -> None:
    """Let a relying party's deliveries wait: backchannel client pause acme/wiki."""
    run, path = of(context), path_of_client(client)
    run.will_change(f"Pausing client {client}")
    now = run.service.post(f"{path}/pause")
    go_on = run.command("client", "resume", client)
    run.output.result(now, f"{client} is paused since {now['paused_at']}. Go on with: {go_on}")


@app.command()
def resume(context: typer.Context, client: Client) -> None:
    """Let a relying party's deliveries go on: backchannel client resume acme/wiki."""
    run, path = of(context), path_of_client(client)
    run.will_change(f"Resuming client {client}")
    now = run.service.post(f"{path}/resume")
    run.output.result(now, f"{client} goes on; what waits is attempted within seconds.")


@app.command()
def failing(
    context: typer.Context,
    provider: OneProvider = None,
    since: Annotated[str, typer.Option("--since", help="7d: seven days, today included; or a date.")] = "7d",
) -> None:
    """List the relying parties that deliveries failed at, the worst first: backchannel client failing --since 7d."""
    run, query = of(context), {"since": times.day(since).isoformat()}
    counted = [
        {"provider": name, **client}
        for name in run.output.each(providers(run, provider), "providers")
        for client in run.service.list(path_of("providers", name, "counts"), "clients", query)
    ]
    failed = sorted((each for each in counted if each["failed"]), key=lambda each: -each["failed"])
    run.output.items(failed, FAILING, none=f"No delivery has failed since {query['since']}.")


def path_of_client(name: str) -> str:
    provider, client = both(name, "client")
    return path_of("providers", provider, "clients", client)


def _whole(run: Run, path: str) -> Json:
    """Return the client as it is, for a PUT: a PATCH takes a ``typ`` of null for its default."""
    try:
        return run.service.get(path)
    except NotFoundError:
        return {}
