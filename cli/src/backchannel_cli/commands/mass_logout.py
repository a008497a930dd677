"""`backchannel mass-logout`: ends all sessions of a provider, of one of its clients, or of a list of users."""

from pathlib import Path
from typing import Annotated

import typer

from backchannel_cli.commands.mass_logout_picture import STATES, show_mass_logout, show_plan, whom
from backchannel_cli.commands.mass_logout_watch import watch_mass_logout
from backchannel_cli.commands.names import Provider
from backchannel_cli.commands.some import MOST, some
from backchannel_cli.errors import UsageError
from backchannel_cli.output import Json
from backchannel_cli.run import Run, of
from backchannel_cli.service import path_of
from backchannel_cli.times import HELP, iso

app = typer.Typer(help="Log everybody out: of a provider, of a client, or a list of users.", no_args_is_help=True)

PATH = "/mass-logouts"
RATE = 10_000

MassLogout = Annotated[str, typer.Argument(metavar="MASS_LOGOUT", help="Its id.")]
Client = Annotated[str | None, typer.Option("--client", metavar="CLIENT", help="At this relying party only.")]
Subjects = Annotated[Path | None, typer.Option("--subjects", metavar="FILE", help="Only these users: a sub in each line.")]
Reason = Annotated[str, typer.Option("--reason", help="Such as compromised, or a note of yours.")]
Rate = Annotated[int | None, typer.Option("--rate", min=1, max=RATE, help="Tokens a second in all; 200 if left out.")]
ClientRate = Annotated[
    int | None, typer.Option("--client-rate", min=1, max=RATE, help="Tokens a second for each client; 50 if left out.")
]
Before = Annotated[str | None, typer.Option("--started-before", metavar="TIME", help=f"Sessions from before. {HELP}")]


@app.command()
def plan(
    context: typer.Context,
    provider: Provider,
    *,
    reason: Reason,
    client: Client = None,
    subjects: Subjects = None,
    rate: Rate = None,
    client_rate: ClientRate = None,
    started_before: Before = None,
) -> None:
    """Show whom a mass logout would reach, and end nothing: backchannel mass-logout plan acme --reason compromised."""
    run = of(context)
    request = _request(provider, client, subjects, {"reason": reason, "rate": rate, "client_rate": client_rate}, started_before)
    show_plan(run, request, run.service.post(PATH, request | {"dry_run": True}))


@app.command()
def start(
    context: typer.Context,
    provider: Provider,
    *,
    reason: Reason,
    client: Client = None,
    subjects: Subjects = None,
    rate: Rate = None,
    client_rate: ClientRate = None,
    started_before: Before = None,
    yes: Annotated[
        str | None, typer.Option("--yes", metavar="PROVIDER", help="Its name once more, instead of typing it.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it until it is finished.")] = False,
) -> None:
    """Show whom it reaches, ask for the provider's name, and start: backchannel mass-logout start acme --reason compromised.

    Repeated while it is active, it starts no second one.
    """
    run = of(context)
    request = _request(provider, client, subjects, {"reason": reason, "rate": rate, "client_rate": client_rate}, started_before)
    run.will_change(f"A mass logout of {whom(request['scope'])}")
    _confirm(run, provider, request, yes)
    mass = run.service.post(PATH, request)
    if watch:
        run.output.say(f"This is mass logout {mass['mass_logout_id']}.")
        watch_mass_logout(run, mass["mass_logout_id"])
        return
    show_mass_logout(run, mass)
    run.output.say(f"Watch it: {run.command('mass-logout', 'watch', mass['mass_logout_id'])}")


@app.command()
def watch(context: typer.Context, mass_logout: MassLogout) -> None:
    """Watch a mass logout until it is finished: backchannel mass-logout watch ID.

    The exit code is 5 if not everything was accepted. ^C ends the watching alone.
    """
    watch_mass_logout(of(context), mass_logout)


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="At most so many.")] = 20,
) -> None:
    """List mass logouts, the newest first: backchannel mass-logout list."""
    run = of(context)
    run.output.items(some(run, run.service.list(PATH, "mass_logouts"), limit), STATES, none="There was no mass logout yet.")


@app.command()
def show(context: typer.Context, mass_logout: MassLogout) -> None:
    """Show a mass logout, and how far it has come: backchannel mass-logout show ID."""
    run = of(context)
    show_mass_logout(run, run.service.get(path_of("mass-logouts", mass_logout)))


@app.command()
def pause(context: typer.Context, mass_logout: MassLogout) -> None:
    """Release nothing more for now; what is released goes on: backchannel mass-logout pause ID."""
    run = of(context)
    _change(run, mass_logout, "pause", f"Let it go on: {run.command('mass-logout', 'resume', mass_logout)}")


@app.command()
def resume(context: typer.Context, mass_logout: MassLogout) -> None:
    """Let a mass logout go on, or wake one that stands still: backchannel mass-logout resume ID."""
    run = of(context)
    _change(run, mass_logout, "resume", f"Watch it: {run.command('mass-logout', 'watch', mass_logout)}")


@app.command()
def cancel(context: typer.Context, mass_logout: MassLogout) -> None:
    """Release nothing more, for good; what is released goes on: backchannel mass-logout cancel ID."""
    _change(of(context), mass_logout, "cancel", "Start it anew to reach those who are left; who was told is not told again.")


def _change(run: Run, mass_logout: str, verb: str, next_step: str) -> None:
    run.will_change(f"Mass logout {mass_logout}: {verb}")
    show_mass_logout(run, run.service.post(path_of("mass-logouts", mass_logout, verb)))
    run.output.say(next_step)


def _request(
    provider: str, client: str | None, subjects: Path | None, members: dict[str, str | int | None], started_before: str | None
) -> Json:
    scope: Json = {"provider": provider}
    if client is not None:
        scope["client_id"] = client
    if subjects is not None:
        scope["subjects"] = _lines(subjects)
    before = {"started_before": iso(started_before)} if started_before else {}
    return {"scope": scope, **before, **{name: value for name, value in members.items() if value is not None}}


def _lines(file: Path) -> list[str]:
    try:
        found = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{file} cannot be read: {why}.", "Give a file with a sub in each line, in UTF-8.") from error
    subjects = [line for line in found if line]
    if not subjects:
        raise UsageError(f"{file} names nobody.", "Give a file with a sub in each line, in UTF-8.")
    return subjects


def _confirm(run: Run, provider: str, request: Json, yes: str | None) -> None:
    """Go on only if somebody has typed the provider's name.

    Raises:
        UsageError: nobody has.

    """
    if yes is None:
        if run.can_ask and not run.output.is_json:
            show_plan(run, request, run.service.post(PATH, request | {"dry_run": True}))
        yes = run.ask(
            f"This ends sessions of {whom(request['scope'])}. Type the provider's name to start it: ", f"--yes {provider}"
        )
    if yes != provider:
        raise UsageError(f"{yes!r} is not {provider!r}: nothing was started.", f"Type {provider}, or give --yes {provider}.")
