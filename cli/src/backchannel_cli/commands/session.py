"""`backchannel session`: who is logged in where, and sessions from before the installation."""

from pathlib import Path
from typing import Annotated

import typer

from backchannel_cli.commands.names import Provider
from backchannel_cli.commands.session_import import import_from
from backchannel_cli.commands.some import MOST, some
from backchannel_cli.errors import UsageError
from backchannel_cli.output import Column
from backchannel_cli.run import of
from backchannel_cli.service import path_of
from backchannel_cli.times import at

app = typer.Typer(help="RP sessions: who is logged in where.", no_args_is_help=True)


COLUMNS = (
    Column("client", "client_id"),
    Column("sub", "sub"),
    Column("sid", "sid"),
    Column("started", lambda each: at(each["started_at"])),
    Column("ended", lambda each: at(each["ended_at"])),
    Column("logout", "logout_id"),
)


@app.command("list")
def list_(
    context: typer.Context,
    provider: Provider,
    *,
    sub: Annotated[str | None, typer.Option("--sub", help="Those of a user.")] = None,
    sid: Annotated[str | None, typer.Option("--sid", help="Those of a session at the provider.")] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="CLIENT", help="Those at a relying party.")] = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="At most so many.")] = 1000,
) -> None:
    """List RP sessions, each with the logout that ended it: backchannel session list acme --sub user-1."""
    run = of(context)
    query = {name: value for name, value in (("sub", sub), ("sid", sid), ("client_id", client)) if value is not None}
    if len(query) != 1:
        such = run.command("session", "list", provider, "--sub", "user-1")
        raise UsageError("One of --sub, --sid and --client is needed.", f"Such as: {such}")
    sessions = run.service.list(path_of("providers", provider, "sessions"), "sessions", query)
    found = some(run, (each for each in sessions if not (active and each["ended_at"])), limit)
    run.output.items(found, COLUMNS, none="No RP session of these is known.")
    ended = sorted({each["logout_id"] for each in found if each["logout_id"]})
    if ended and not run.output.is_json:
        run.output.say(f"See what came of a logout: {run.command('logout', 'show', f'{provider}/{ended[0]}')}")


@app.command("import")
def import_(
    context: typer.Context,
    provider: Provider,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Lines of JSON, one RP session each; - reads stdin.")],
) -> None:
    """Report sessions from before the installation: backchannel session import acme sessions.ndjson.

    It can be repeated: what is stored already is not changed. docs/import.md says what a line has.
    """
    import_from(of(context), provider, file)
