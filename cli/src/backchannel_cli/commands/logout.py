"""`backchannel logout`: ends sessions, and shows what came of it."""

from typing import Annotated

import typer

from backchannel_cli.commands.logout_picture import deliveries_of, show_logout, who
from backchannel_cli.commands.logout_watch import watch_logout
from backchannel_cli.commands.names import Provider, both
from backchannel_cli.commands.some import MOST, some
from backchannel_cli.errors import UsageError
from backchannel_cli.output import Column, Json
from backchannel_cli.run import of
from backchannel_cli.service import path_of
from backchannel_cli.times import HELP, at, iso

app = typer.Typer(help="Logouts: who was told, who was not, and who asked for it.", no_args_is_help=True)

Logout = Annotated[str, typer.Argument(metavar="PROVIDER/LOGOUT", help="Such as acme/0123456789abcdef.")]

NEW_WITHIN = 60.0
SHOWN_WITHIN = 5.0
"""Seconds in which the record of a logout has to be there: it is made when the logout is carried out."""


def whose(logout: Json) -> str:
    """Return whose sessions a logout ends."""
    of_whom = f"sub {logout['sub']}" if logout["sid"] is None else f"sid {logout['sid']}"
    return of_whom if logout["client_id"] is None else f"{of_whom} at {logout['client_id']}"


COLUMNS = (
    Column("logout", "logout_id"),
    Column("ended", lambda each: at(each["ended_at"])),
    Column("whose", whose),
    Column("reason", lambda each: each["note"] or each["reason"]),
    Column("ordered by", lambda each: who(each["requested_by"]) or f"source {each['source']}"),
    Column("RP sessions", "matched"),
)


@app.command()
def new(
    context: typer.Context,
    provider: Provider,
    *,
    sub: Annotated[str | None, typer.Option("--sub", help="All sessions of this user.")] = None,
    sid: Annotated[str | None, typer.Option("--sid", help="This session.")] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="CLIENT", help="At this relying party only.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Such as compromised, or a note of yours.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it until it is settled.")] = False,
) -> None:
    """End a session, or all sessions of a user: backchannel logout new acme --sub user-1 --watch."""
    run = of(context)
    if sub is None and sid is None:
        raise UsageError(
            "Whose sessions? --sub or --sid is needed.", f"Such as: {run.command('logout', 'new', provider, '--sub', 'user-1')}"
        )
    run.will_change(f"Ending sessions of {provider}")
    members = {"sub": sub, "sid": sid, "client_id": client, "reason": reason}
    document = {name: value for name, value in members.items() if value is not None}
    look = run.command("logout", "list", provider, "--since", "5m")
    doubt = f"It may have been done all the same. Look before you repeat it: {look}"
    taken = run.service.post(path_of("providers", provider, "logouts"), document, doubt=doubt)
    name = f"{provider}/{taken['logout_id']}"
    if watch:
        run.output.say(f"This is logout {name}.")
        watch_logout(run, provider, taken["logout_id"], within=NEW_WITHIN)
        return
    run.output.item(taken)
    run.output.say(f"See who is told: {run.command('logout', 'watch', name)}")


@app.command()
def show(context: typer.Context, logout: Logout) -> None:
    """Show a logout, its deliveries, and every attempt of those not accepted: backchannel logout show acme/0123456789abcdef."""
    provider, logout_id = both(logout, "logout")
    run = of(context)
    show_logout(run, provider, deliveries_of(run, provider, logout_id))


@app.command()
def watch(context: typer.Context, logout: Logout) -> None:
    """Watch a logout until it is settled: backchannel logout watch acme/0123456789abcdef.

    The exit code is 5 if not everything was accepted. ^C ends the watching alone.
    """
    provider, logout_id = both(logout, "logout")
    watch_logout(of(context), provider, logout_id, within=SHOWN_WITHIN)


@app.command("list")
def list_(
    context: typer.Context,
    provider: Provider,
    *,
    since: Annotated[str | None, typer.Option("--since", help=HELP)] = None,
    until: Annotated[str | None, typer.Option("--until", help=HELP)] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Such as compromised.")] = None,
    requested_by: Annotated[str | None, typer.Option("--requested-by", help="ARN of an IAM principal.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="At most so many.")] = 100,
) -> None:
    """List logouts and who ordered them, the newest first: backchannel logout list acme --since 2h."""
    run = of(context)
    query = {
        "since": iso(since),
        "until": iso(until),
        "reason": reason,
        "requested_by": requested_by,
    }
    logouts = run.service.list(path_of("providers", provider, "logouts"), "logouts", query)
    run.output.items(some(run, logouts, limit), COLUMNS, none=f"No such logout of {provider} is known.")
