"""What a check needs around it: keys, an issuer that listens, a relying party that is there, the cookie of a login."""

import json
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from backchannel_cli.errors import FailureError, UsageError
from backchannel_cli.output import Output
from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.issuer import JWKS_PATH, Issuer, IssuerServer, proves_itself
from backchannel_cli.receiver_check.keys import ThrowAwayKeys
from backchannel_cli.receiver_check.probe import Probe
from backchannel_cli.receiver_check.report import Report
from backchannel_cli.receiver_check.run import Check
from backchannel_cli.receiver_check.sending import Answer, Sender, Target
from backchannel_cli.receiver_check.tokens import Mint

ANY_ADDRESS = frozenset({"", "0.0.0.0"})  # noqa: S104 - it is what is looked for
COOKIE_AT_MOST = 16_384
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person at the terminal asked for; ``wait`` and ``timeout`` in seconds."""

    relying_party: Target
    client_id: str
    alg: str
    listen: tuple[str, int]
    issuer: str | None = None
    sub: str | None = None
    sid: str | None = None
    page: Target | None = None
    wait: float = 0.0
    timeout: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what could not be carried out."""
        if self.listen[0] in ANY_ADDRESS and self.issuer is None:
            raise UsageError("An issuer that listens at every address has no address of its own.", "Give --issuer as well.")
        if self.page is not None and self.page.host != self.relying_party.host:
            raise UsageError(
                "The page of --probe is at another host than the relying party.", "The cookie goes to the same host only."
            )
        if self.issuer is not None:
            parsed = Target.parse(self.issuer, "--issuer")
            if parsed.parts.path or parsed.parts.query:
                raise UsageError("--issuer has a path.", "Give scheme, host and port alone: https://issuer.example")

    def user(self) -> dict[str, str]:
        """Return the claims of whom tokens are about: what was given, or else somebody made up."""
        given = {"sub": self.sub, "sid": self.sid}
        if not any(given.values()):
            return {name: f"receiver-check-{secrets.token_hex(4)}" for name in given}
        return {name: value for name, value in given.items() if value}


def carry_out(wanted: Wanted, output: Output, read_cookie: Callable[[], str]) -> Report:
    """Make an issuer, check the relying party, and throw the issuer away.

    Raises:
        FailureError: the relying party is not there.
        UsageError: the issuer cannot listen, is not this check's own, or the probe tells nothing.

    """
    sender = Sender(wanted.timeout)
    with _listening(wanted.listen) as server:
        own = wanted.issuer or f"http://{wanted.listen[0]}:{server.server_port}"
        mint = Mint(
            own, wanted.client_id, wanted.user(), ThrowAwayKeys.make(wanted.alg), time.time, lambda: secrets.token_urlsafe(16)
        )
        issuer = Issuer(mint, wanted.relying_party.host)
        server.serve(issuer)
        if wanted.issuer:
            _refuse_another(wanted.issuer, sender, mint)
            issuer.fetched.clear()
        who = ", ".join(f"{name} {value}" for name, value in mint.user.items())
        output.say(f"Issuer {own} is up, for the client {wanted.client_id} ({wanted.alg}). Tokens are about {who}.")
        _wait_for(wanted.relying_party, wanted.wait, output)
        probe = Probe(wanted.page, cookie_value(read_cookie()), sender) if wanted.page else None
        with output.progress("cases", len(CASES)) as seen:
            return Check(wanted.relying_party, mint, issuer, sender, probe, seen).run()


def cookie_value(text: str) -> str:
    """Return what was read as the value of a Cookie header.

    Raises:
        UsageError: it cannot be one.

    """
    cookie = text.strip().removeprefix("Cookie:").strip()
    if not cookie or len(cookie) > COOKIE_AT_MOST or not cookie.isascii() or not cookie.isprintable() or "=" not in cookie:
        raise UsageError("What was read from stdin is no cookie.", "Give one line, name=value, as the browser sends it.")
    return cookie


def _listening(address: tuple[str, int]) -> IssuerServer:
    try:
        return IssuerServer(address)
    except OSError as error:
        message = f"The issuer cannot listen at {address[0]}:{address[1]}: {error.strerror or error}."
        raise UsageError(
            message, "Give another address with --listen HOST:PORT, and the relying party the same issuer."
        ) from error


def _refuse_another(issuer: str, sender: Sender, mint: Mint) -> None:
    """Bad tokens are made in the name of no issuer but this check's own: it has to serve the throw-away key."""
    answer = sender.get(Target.parse(issuer + JWKS_PATH))
    try:
        is_ours = isinstance(answer, Answer) and answer.is_success and proves_itself(json.loads(answer.body), mint)
    except (ValueError, RecursionError):
        is_ours = False
    if not is_ours:
        message = (
            f"{issuer} is not this check's issuer: it does not serve the key that was just made. No token was made in its name."
        )
        raise UsageError(message, "Let --issuer lead to what --listen says, or leave it out.")


def _wait_for(target: Target, seconds: float, output: Output) -> None:
    until = time.monotonic() + seconds
    is_there = _listens(target)
    if not is_there and seconds:
        output.say(f"Waiting for the relying party, {seconds:g} s at most.")
    while not is_there:
        if time.monotonic() >= until:
            message = f"Nobody listens at {target.host}."
            raise FailureError(message, "Start the relying party; --wait SECONDS waits for it with the issuer up.")
        time.sleep(_LOOK_EVERY_S)
        is_there = _listens(target)


def _listens(target: Target) -> bool:
    try:
        socket.create_connection((target.host, target.port), _LOOK_EVERY_S * 5).close()
    except OSError:
        return False
    return True
