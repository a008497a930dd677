"""A mass logout at a terminal, of as many users as wanted, each with an RP session at two relying parties."""

import re
import time

from backchannel.sessions.events import RpSessionStarted
from tests.support.acme import Acme
from tests.support.mass_logouts import store
from tests.support.relying_party import RelyingParty
from tests.support.terminal import Shown, Terminal, Typed

CLIENTS = ("mail", "wiki")


def record_mass_logout(acme: Acme, terminal: Terminal, users: int, rate: int) -> Shown:
    """Plan, start and watch it, at ``rate`` tokens a second; return what the watching left on the screen."""
    acme.create()
    started = round(time.time() * 1000) - 60_000
    with RelyingParty() as rp:
        for client_id in CLIENTS:
            acme.register_client(rp, client_id)
        store(
            acme.stack,
            acme.issuer,
            [RpSessionStarted(f"user-{n}", each, started, f"s-{n}") for n in range(users) for each in CLIENTS],
        )
        request = f"{acme.name} --reason compromised --rate {rate} --client-rate {rate // len(CLIENTS)}"
        terminal.note("Whom would it reach?")
        terminal.run(f"backchannel --local mass-logout plan {request}")
        terminal.note("Start it, and watch.")
        return terminal.run(
            f"backchannel --local mass-logout start {request} --watch",
            Typed("Type the provider's name", f"{acme.name}\n"),
            frame=lambda text: is_half_way(text, users * len(CLIENTS)),
        )


def is_half_way(text: str, tokens: int) -> bool:
    found = re.search(r"settled tokens .* (\d+)/\d+ ", text)
    return found is not None and tokens * 0.4 <= int(found[1]) < tokens
