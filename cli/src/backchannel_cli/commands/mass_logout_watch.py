"""Watches a mass logout until it is finished: bars on a terminal, else lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backchannel_cli.commands.mass_logout_picture import show_clients, show_mass_logout
from backchannel_cli.commands.watching import PENDING, leaving, not_accepted, told
from backchannel_cli.errors import NotAcceptedError
from backchannel_cli.output import Json
from backchannel_cli.run import Run
from backchannel_cli.service import path_of

EVERY = 1.0
"""Seconds between two looks, for a bar that moves."""

LINES_EVERY = 10.0
"""Seconds between two lines at least, where there is no terminal."""

Show = Callable[[Json], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a mass logout has come: what is done, and of how many."""

    released: int
    users: int
    settled: int
    tokens: int

    @classmethod
    def of(cls, mass: Json) -> "Progress":
        """Return the progress; as long as not all logouts have their deliveries, their number is estimated."""
        users = mass["released" if mass["state"] == "cancelled" else "found"]["subjects"]
        known, fanned_out = sum(mass["deliveries"].values()), mass["fanned_out"]
        settled = known - sum(mass["deliveries"].get(status, 0) for status in PENDING)
        expected = round(known * max(users, fanned_out) / fanned_out) if fanned_out else users
        return cls(mass["released"]["subjects"], users, settled, max(expected, known))

    def __str__(self) -> str:
        """Return it as a line."""
        return f"released {self.released} of {self.users} users; settled {self.settled} of about {self.tokens} tokens"


def watch_mass_logout(run: Run, mass_logout: str) -> None:
    """Show how far a mass logout has come, until it is finished.

    Raises:
        NotAcceptedError: not everything was accepted.
        StoppedError: ^C.

    """
    path = path_of("mass-logouts", mass_logout)
    again, stop = (run.command("mass-logout", verb, mass_logout) for verb in ("watch", "pause"))
    with leaving(f"Watch it again: {again}\nStop it: {stop}"):
        mass = run.service.get(path)
        with _shower(run) as show:
            show(mass)
            while not mass["finished_at"]:
                time.sleep(EVERY)
                mass = run.service.get(path)
                show(mass)
    if not run.output.is_json:
        show_clients(run, mass) if mass["clients"] else show_mass_logout(run, mass)
    _judge(run, mass)


def _judge(run: Run, mass: Json) -> None:
    released, found = mass["released"]["subjects"], mass["found"]["subjects"]
    run.output.say(f"{mass['state'].capitalize()}: {told(mass['deliveries'])}; {released} of {found} users were released.")
    if left := not_accepted(mass["deliveries"]):
        clients = [client for client, counts in mass["clients"].items() if client != "*" and not_accepted(counts)]
        names = [f"{mass['provider']}/{client}" for client in sorted(clients)]
        again = "".join(f"\n  {run.command('resend', '--client', name, '--since', mass['created_at'])}" for name in names)
        raise NotAcceptedError(f"Not everything was accepted: {told(left)}.", f"Remove the cause, then send it again:{again}")


@contextmanager
def _shower(run: Run) -> Iterator[Show]:
    """Yield what shows each look: a JSON line, bars, or a line of text now and then."""
    output = run.output
    if output.is_json:
        yield lambda mass: output.event(mass, "")
    elif output.has_bars:
        with output.bars("released users", "settled tokens") as bars:
            yield lambda mass: _draw(bars, mass)
    else:
        yield _Lines(run).show


def _draw(bars: Callable[[int, int, int | None], None], mass: Json) -> None:
    progress = Progress.of(mass)
    bars(0, progress.released, progress.users if mass["is_read"] or mass["state"] == "cancelled" else None)
    bars(1, progress.settled, progress.tokens or None)


class _Lines:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._shown = ""
        self._again_at = 0.0

    def show(self, mass: Json) -> None:
        line = f"{mass['state']}: {Progress.of(mass)}"
        if line != self._shown and (time.monotonic() >= self._again_at or mass["finished_at"]):
            self._shown, self._again_at = line, time.monotonic() + LINES_EVERY
            self._run.output.say(line)
