"""One attempt: sign a fresh token, POST it, say what came of it."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from backchannel.deliveries import logout_token, outcomes
from backchannel.deliveries.history import PastAttempt
from backchannel.deliveries.records import AttemptReport
from backchannel.deliveries.token_parts import TokenParts
from backchannel.egress.post import Response
from backchannel.errors import OutOfTime, RelyingPartyFault
from backchannel.providers.clients import Client
from backchannel.tokens import jws
from backchannel.tokens.key_ring import SigningKey

_CHARACTERS = 200
_TOKEN = re.compile(r"e(?:yJ|yA|w[0ok])[\w-]*(\.[\w-]*){1,4}")
"""A JWS or a JWE, whole or cut: its header begins as every JSON object does, in some with white space behind the brace."""


class Signer(Protocol):
    """What makes signatures."""

    def sign(self, key: SigningKey, octets: bytes, *, within: int) -> bytes:
        """Return the signature of ``octets`` in the form that JWS wants, without waiting longer than ``within`` milliseconds."""


class Poster(Protocol):
    """What POSTs to a relying party."""

    def post(self, uri: str, body: bytes, *, allowed_networks: tuple[str, ...] = (), ca_bundle: str | None = None) -> Response:
        """Return the response, or raise a RelyingPartyFault."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One token and what its POST came to: ``reply`` is the response, or the fault in its place. Times in milliseconds.

    ``kid`` is that of the key which has signed it, None for a token that is passed on.
    """

    reply: Response | RelyingPartyFault
    kid: str | None
    signing_ms: float
    post_ms: float

    @property
    def result(self) -> outcomes.Result:
        """The status code, or the fault."""
        return self.reply if isinstance(self.reply, RelyingPartyFault) else self.reply.status

    @property
    def may_pass(self) -> bool:
        """Whether the RP is in trouble that may pass."""
        return outcomes.may_pass(self.result)

    def past(self, now: int) -> PastAttempt:
        """Return what the delivery's history keeps of it."""
        return PastAttempt(now - round(self.post_ms), outcomes.code(self.result), round(self.post_ms), self.address)

    @property
    def address(self) -> str | None:
        """The address that was dialled, if any was."""
        return self.reply.address

    @property
    def retry_after(self) -> str | None:
        """What the response's ``Retry-After`` says."""
        return None if isinstance(self.reply, RelyingPartyFault) else self.reply.retry_after

    @property
    def detail(self) -> str | None:
        """What a fault says beyond its code; for the log alone."""
        return clean(str(self.reply)) if isinstance(self.reply, RelyingPartyFault) else None

    @property
    def report(self) -> AttemptReport:
        """What is kept: of a failure, too, what the RP says about it (section 2.8), for people to read."""
        response = self.reply
        if isinstance(response, RelyingPartyFault):
            return AttemptReport()
        if response.status < 400:  # noqa: PLR2004 - no failure
            return AttemptReport(response.status)
        try:
            said = json.loads(response.body)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict):
            return AttemptReport(response.status, clean(said.get("error")), clean(said.get("error_description")))
        is_text = (response.content_type or "text/plain").lower().startswith("text/")
        return AttemptReport(response.status, clean(response.body.decode(errors="replace").strip()) if is_text else None)


def send(
    client: Client,
    parts: TokenParts,
    *,
    signer: Signer,
    egress: Poster,
    time_left: Callable[[], int],
) -> AttemptResult:
    """Sign a token, seal it and POST it; ``time_left`` is how many milliseconds from now the POST has to begin.

    Raises:
        SigningUnavailable: there is no token to POST.
        OutOfTime: the result of a POST could not be recorded any more.

    """
    started = time.perf_counter()
    key = parts.key
    octets = jws.signing_input(logout_token.header(client, key.kid), parts.claims)
    token = parts.seal(jws.serialize(octets, signer.sign(key, octets, within=time_left())))
    signed = time.perf_counter()
    reply, post_ms = _post(client, token, egress, time_left)
    return AttemptResult(reply, key.kid, (signed - started) * 1000, post_ms)


def pass_on(client: Client, token: str, *, egress: Poster, time_left: Callable[[], int]) -> AttemptResult:
    """POST a token that the provider has signed, as it is.

    Raises:
        OutOfTime: the result of a POST could not be recorded any more.

    """
    reply, post_ms = _post(client, token, egress, time_left)
    return AttemptResult(reply, None, 0.0, post_ms)


def _post(client: Client, token: str, egress: Poster, time_left: Callable[[], int]) -> tuple[Response | RelyingPartyFault, float]:
    if time_left() < 0:
        raise OutOfTime
    body = b"logout_token=" + token.encode("ascii")  # section 2.5; a compact JWS or JWE needs no escaping
    uri = client.backchannel_logout_uri or ""
    began = time.perf_counter()
    reply: Response | RelyingPartyFault
    try:
        reply = egress.post(uri, body, allowed_networks=client.allowed_networks, ca_bundle=client.ca_bundle)
    except RelyingPartyFault as fault:
        reply = fault
    return reply, (time.perf_counter() - began) * 1000


def clean(text: object) -> str | None:
    """Cut a text of foreign origin; replace control characters by spaces, and a token that it repeats by a mark."""
    if not isinstance(text, str):
        return None
    cut = _TOKEN.sub("[token]", text)[:_CHARACTERS]
    return "".join(c if c.isprintable() else " " for c in cut) or None
