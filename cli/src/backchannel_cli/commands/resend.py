"""`backchannel resend`: sends deliveries again, of a logout or of a client."""

from collections import Counter
from typing import Annotated

import typer

from backchannel_cli.commands.names import both
from backchannel_cli.errors import CommandError, StoppedError, UsageError
from backchannel_cli.output import Json
from backchannel_cli.run import Run, of
from backchannel_cli.service import path_of
from backchannel_cli.times import HELP, iso


def resend(
    context: typer.Context,
    *,
    logout: Annotated[str | None, typer.Option("--logout", metavar="PROVIDER/LOGOUT", help="Deliveries of a logout.")] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="PROVIDER/CLIENT", help="Deliveries of a client.")] = None,
    since: Annotated[str | None, typer.Option("--since", help=f"Of a client: those that failed since. {HELP}")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Of a client: those that failed until then.")] = None,
    status: Annotated[list[str] | None, typer.Option("--status", help="Only those with this status; may be repeated.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Attempt at once what waits for its next attempt.")] = False,
) -> None:
    """Send again what was not accepted: backchannel resend --client acme/wiki --since 2h.

    Of a logout: backchannel resend --logout acme/0123456789abcdef --now.
    """
    run = of(context)
    body: Json = {"now": now}
    if status:
        body["statuses"] = status
    match logout, client:
        case str(), None:
            if since or until:
                raise UsageError("--since and --until are for the deliveries of a client.", "Leave them out with --logout.")
            provider, logout_id = both(logout, "logout")
            path, next_step = path_of("providers", provider, "logouts", logout_id), run.command("logout", "watch", logout)
        case None, str():
            if since is None:
                raise UsageError("Since when? --since is needed with --client.", "Such as: --since 2h")
            body |= {"since": iso(since)} | ({"until": iso(until)} if until else {})
            provider, client_id = both(client, "client")
            path, next_step = path_of("providers", provider, "clients", client_id), run.command("tail", client)
        case _:
            such = run.command("resend", "--client", "acme/wiki", "--since", "2h")
            raise UsageError("One of --logout and --client is needed.", f"Such as: {such}")
    run.will_change(f"Sending deliveries of {provider} again")
    _resend(run, f"{path}/redeliveries", body, next_step)


def _resend(run: Run, path: str, body: Json, next_step: str) -> None:
    queued, skipped = 0, Counter[str]()
    after: str | None = None
    try:
        with run.output.progress("sending again", None) as progress:
            while True:
                page = run.service.post(path, body, {"after": after})
                queued += page["queued"]
                skipped.update(page["skipped"])
                progress(queued)
                after = page["next"]
                if after is None:
                    break
    except KeyboardInterrupt as error:
        raise StoppedError(f"You stopped it. {queued} were queued, and are sent.", f"Watch them: {next_step}") from error
    except CommandError as error:
        if queued:
            error.next_step += f"\n{queued} were queued before, and are sent. What is queued is not queued twice: repeat it."
        raise
    if run.output.is_json:
        run.output.document({"queued": queued, "skipped": dict(skipped)})
        return
    left = f"; left alone: {', '.join(f'{count} {why}' for why, count in sorted(skipped.items()))}" if skipped else ""
    run.output.line(f"{queued} queued again{left}.")
    if queued:
        run.output.say(f"Watch them: {next_step}")
    elif skipped["waiting"]:
        run.output.say("What waits has its next attempt before it; with --now it is attempted at once.")
