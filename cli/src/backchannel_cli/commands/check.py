"""`backchannel check`: does a relying party believe good logout tokens, and no others?"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backchannel_cli.errors import CommandError, FailureError, NotAcceptedError, UsageError
from backchannel_cli.run import Run, of

if TYPE_CHECKING:
    from backchannel_cli.receiver_check.report import Report

LISTEN = "127.0.0.1:9400"
COOKIE_AT_MOST = 16_384

NEXT_STEPS = {
    "careless": "Correct what is named above as careless: until then, tokens that must be refused log users out.",
    "refuses good": "Correct what is named above: until then, no sender's tokens will work, or not all.",
    "login did not end as it should": "Look how the endpoint finds sessions by `sub` and `sid`: accepted is not logged out.",
    "unproven": "Not everything was shown to be right. What is said above has to be different first; then check again.",
    "incomplete": "Look into its log for what happened at the tokens without an answer, and check again.",
    "unreachable": "See that the relying party runs, and that this machine reaches it.",
}


class Alg(StrEnum):
    """What the relying party expects ID tokens to be signed with."""

    RS256 = "RS256"
    PS256 = "PS256"
    ES256 = "ES256"
    EDDSA = "EdDSA"


def check(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Argument(metavar="RP-URL", help="The relying party's back-channel logout URI.")],
    client_id: Annotated[str, typer.Option(help="The relying party's client_id: the `aud` of its tokens.")] = "receiver-check",
    alg: Annotated[Alg, typer.Option(help="The algorithm that the relying party expects.")] = Alg.RS256,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the issuer of this check listens.")] = LISTEN,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="The issuer's URL, if it is reached by another than --listen.")
    ] = None,
    sub: Annotated[str | None, typer.Option(help="Whom tokens are about; otherwise somebody made up.")] = None,
    sid: Annotated[str | None, typer.Option(help="Which session tokens are about; otherwise one made up.")] = None,
    probe: Annotated[str | None, typer.Option(metavar="URL", help="A page that only a logged-in user sees.")] = None,
    cookie_stdin: Annotated[
        bool, typer.Option("--cookie-stdin", help="Read the cookie of a login from stdin, for --probe.")
    ] = False,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, max=3600, help="Wait so long for the relying party.")] = 0,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="How long an answer may take.")] = 5,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JUnit's XML, too.")] = None,
) -> None:
    """Send a relying party good and bad logout tokens: backchannel check http://127.0.0.1:3000/backchannel-logout.

    The relying party must be in a test configuration, with this check's issuer. No service is needed, and no key of one is used.
    """
    from backchannel_cli.receiver_check.sending import Target
    from backchannel_cli.receiver_check.shown import show
    from backchannel_cli.receiver_check.start import Wanted, carry_out

    run = of(context)
    if cookie_stdin is not (probe is not None):
        raise UsageError("--probe and --cookie-stdin go together.", "Give both, or neither.")
    wanted = Wanted(
        Target.parse(url),
        client_id=client_id,
        alg=alg.value,
        listen=_address(listen),
        issuer=issuer,
        sub=sub,
        sid=sid,
        page=None if probe is None else Target.parse(probe, "--probe"),
        wait=wait,
        timeout=timeout,
    )
    report = carry_out(wanted, run.output, lambda: _cookie(run))
    show(report, run.output)
    if junit is not None:
        _write(junit, report)
    if report.outcome in NEXT_STEPS:
        raise _failure(report)


def _failure(report: "Report") -> CommandError:
    kind = FailureError if report.outcome in {"unreachable", "incomplete"} else NotAcceptedError
    return kind(f"{report.relying_party}: {report.outcome}.", NEXT_STEPS[report.outcome])


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - TCP's
        raise UsageError(f"--listen is not HOST:PORT: {text}", f"Give it as {LISTEN}.")
    return host, int(port)


def _cookie(run: Run) -> str:
    """Read the cookie; on a terminal, ask for it without showing it."""
    if sys.stdin.isatty():
        if not run.may_ask:
            raise UsageError("The cookie is missing, and nobody can be asked.", "Send it to stdin.")
        import getpass

        return getpass.getpass("Log in at the relying party, and paste the cookie of the login (name=value): ", sys.stderr)
    run.output.say("Waiting for the cookie of a login on stdin.")
    return run.line(COOKIE_AT_MOST + 1)


def _write(path: Path, report: "Report") -> None:
    from backchannel_cli.receiver_check.junit import junit

    try:
        path.write_text(junit(report), encoding="utf-8")
    except OSError as error:
        raise FailureError(f"{path} cannot be written: {error.strerror}.", "Give --junit another file.") from error
