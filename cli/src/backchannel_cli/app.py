"""The command's options and groups."""

import sys
from typing import Annotated

import typer

from backchannel_cli import __version__
from backchannel_cli.commands import (
    check,
    client,
    context,
    doctor,
    keys,
    logout,
    mass_logout,
    provider,
    resend,
    session,
    source,
    status,
    tail,
    test_client,
    trigger,
)
from backchannel_cli.finding import STACK_VARIABLE, Wanted
from backchannel_cli.output import Output
from backchannel_cli.run import Run

HELP = """See who was told of a logout and who was not, and do what comes next.

The service is found by --url, by --local, or in your AWS account: --stack, or the one stack of Backchannel in the region.
The options here may stand before a command or after it.
"""

app = typer.Typer(
    name="backchannel",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("status")(status.status)
app.command("check")(check.check)
app.command("context")(context.context)
app.command("doctor")(doctor.doctor)
app.add_typer(provider.app, name="provider")
app.add_typer(source.app, name="source")
app.add_typer(client.app, name="client")
app.add_typer(session.app, name="session")
app.add_typer(logout.app, name="logout")
app.add_typer(mass_logout.app, name="mass-logout")
app.command("resend")(resend.resend)
app.command("tail")(tail.tail)
app.add_typer(keys.app, name="keys")
app.command("test")(test_client.test)
app.command("trigger")(trigger.trigger)


def show_version(is_asked: bool) -> None:  # noqa: FBT001 - Typer's
    if is_asked:
        sys.stdout.write(f"backchannel {__version__}\n")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version.")]


@app.callback()
def options(
    typer_context: typer.Context,
    *,
    url: Annotated[str | None, typer.Option("--url", help="Where the service is: the stack's output ApiUrl.")] = None,
    local: Annotated[bool, typer.Option("--local", help="The stack that `make up` has started in this clone.")] = False,
    stack: Annotated[str | None, typer.Option("--stack", help=f"Name of the stack; else {STACK_VARIABLE}.")] = None,
    region: Annotated[str | None, typer.Option("--region", help="AWS region; else that of your AWS profile.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="AWS profile; else AWS_PROFILE.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print data as JSON.")] = False,
    version: Version = False,  # noqa: ARG001 - its callback has answered
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; fail where an answer is needed.")] = False,
) -> None:
    wanted = Wanted(url=url, is_local=local, stack=stack, region=region, profile=profile)
    typer_context.obj = Run(wanted, Output(is_json=json), may_ask=not no_input)
