"""Watches a logout until all its deliveries are final: a line for each step of each delivery."""

import time

from backchannel_cli.commands.logout_picture import NOBODY, deliveries_of, said
from backchannel_cli.commands.watching import leaving, not_accepted, told
from backchannel_cli.errors import NotAcceptedError, NotFoundError
from backchannel_cli.output import Json
from backchannel_cli.run import Run
from backchannel_cli.times import at

FIRST, SLOWER, SLOWEST = 0.5, 1.2, 5.0
"""Seconds between two looks: seldom after a while, since what is not done then waits for a relying party."""


def watch_logout(run: Run, provider: str, logout_id: str, *, within: float) -> None:
    """Print each step until the logout is settled; its record has to be there ``within`` so many seconds.

    Raises:
        NotAcceptedError: not everything was accepted.
        StoppedError: ^C.

    """
    name = f"{provider}/{logout_id}"
    with leaving(f"Watch it again: {run.command('logout', 'watch', name)}"):
        logout = _watch(run, provider, logout_id, time.monotonic() + within)
    counts = logout["counts"] or {}
    run.output.say(NOBODY if not logout["deliveries"] else f"Settled: {told(counts)}.")
    if left := not_accepted(counts):
        raise NotAcceptedError(
            f"Not everything was accepted: {told(left)}.",
            f"See why: {run.command('logout', 'show', name)}\nSend it again: {run.command('resend', '--logout', name)}",
        )


def _watch(run: Run, provider: str, logout_id: str, deadline: float) -> Json:
    seen: dict[tuple[str, str | None], tuple[str, int]] = {}
    wait = FIRST
    while True:
        try:
            logout = deliveries_of(run, provider, logout_id)
        except NotFoundError:
            if time.monotonic() > deadline:
                raise
        else:
            for delivery in logout["deliveries"]:
                place, state = (delivery["client_id"], delivery["sid"]), (delivery["status"], delivery["attempts"])
                is_news = delivery["status"] != "queued" or delivery["last_code"]  # that it is queued goes without saying
                if is_news and seen.get(place) != state:
                    seen[place] = state
                    run.output.event(delivery, step(delivery))
            if logout["settled"]:
                return logout
        time.sleep(wait)
        wait = min(wait * SLOWER, SLOWEST)


def step(delivery: Json) -> str:
    """Return a step of a delivery as one line."""
    parts = [f"{at(delivery['updated_at'])}", delivery["client_id"], delivery["status"]]
    if delivery["last_code"]:
        parts.append(delivery["last_code"])
    if delivery["attempts"] > 1:
        parts.append(f"attempt {delivery['attempts']}")
    if delivery["status"] == "retrying":
        parts.append(f"next at {at(delivery['next_attempt_at'])}")
    if words := said(delivery):
        parts.append(words)
    return "  ".join(parts)
