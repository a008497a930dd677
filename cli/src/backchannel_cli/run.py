"""One run of the command: what every command is given, made when it is first asked for."""

import shlex
import sys
from dataclasses import dataclass, field
from functools import cached_property

import typer

from backchannel_cli.errors import CommandError, UsageError
from backchannel_cli.finding import Place, Wanted, find
from backchannel_cli.output import Output
from backchannel_cli.service import Service


@dataclass
class Run:
    """The operator's words, and what follows from them: the place, its service, and where to print."""

    wanted: Wanted = field(default_factory=Wanted)
    output: Output = field(default_factory=Output)
    may_ask: bool = True

    @cached_property
    def place(self) -> Place:
        return find(self.wanted)

    @cached_property
    def service(self) -> Service:
        from backchannel_cli.sending import Sender

        return Service(self.place.url, Sender(self.place), self.output.say, self.command)

    @cached_property
    def webhooks(self) -> Service:
        """Return the service as a webhook's sender sees it: what proves a request is in its headers."""
        from backchannel_cli.sending import Sender

        return Service(self.place.url, Sender(self.place, is_signed=False), self.output.say, self.command)

    def will_change(self, what: str) -> None:
        """Name account, region and stack, if something of ``prod`` is about to be changed."""
        place = self.place
        if place.is_prod:
            account = place.account or self._account()
            where = f"account {account}, region {place.region}, stack {place.stack or f'unknown, at {place.url}'}"
            self.output.say(f"{what} in {place.environment or 'a service that may be prod'}: {where}")

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to answer a question."""
        return self.may_ask and sys.stdin.isatty()

    def command(self, *words: str) -> str:
        """Return a command of this kind for the same service, as it can be pasted into a shell."""
        options = ["--local"] if self.wanted.is_local else []
        options += [part for option in self.wanted.named.items() for part in option]
        return shlex.join(["backchannel", *options, *words])

    def _account(self) -> str:
        try:
            return self.place.aws.caller()[0]
        except CommandError:
            return "unknown"  # to be named, it need not be reached

    def ask(self, question: str, instead: str) -> str:
        """Return what the operator answers; where nobody can be asked, say which option to give ``instead``."""
        if not self.can_ask:
            raise UsageError(f"This needs an answer, and nobody can be asked: {question}", f"Give {instead}.")
        self.output.ask(question)
        return self.line().strip()

    def line(self, longest: int = -1) -> str:
        """Return the next line of stdin.

        Raises:
            UsageError: it is no text.

        """
        try:
            text = sys.stdin.readline(longest)
            text.encode()  # in some locales, octets that are no text are let in as surrogates
        except UnicodeError:
            raise UsageError("What was read from stdin is not UTF-8.", "Give it as a line of text.") from None
        return text

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if the operator agrees, or has agreed with --yes."""
        if not yes and self.ask(f"{question} [y/N] ", "--yes").lower() not in {"y", "yes"}:
            raise UsageError("Nothing was changed.", "Answer y to go on, or give --yes.")


def of(context: typer.Context) -> Run:
    """Return the run that a command belongs to."""
    run = context.obj
    assert isinstance(run, Run)  # noqa: S101 - the root callback has put it there
    return run
