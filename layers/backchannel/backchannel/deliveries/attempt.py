"""One attempt: a fresh token, its signature, its POST."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from backchannel.deliveries import logout_token, outcomes
from backchannel.deliveries.circuits import FailingError
from backchannel.deliveries.table import Answered
from backchannel.egress.post import Response
from backchannel.errors import OutOfTime, RelyingPartyFault
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.tokens import jws
from backchannel.tokens.key_ring import SigningKey, signing_key

_CHARACTERS = 200


class Signer(Protocol):
    """What makes signatures."""

    def sign(self, key: SigningKey, octets: bytes) -> bytes:
        """Return the signature of ``octets`` in the form that JWS wants."""


class Poster(Protocol):
    """What POSTs to a relying party."""

    def post(self, uri: str, body: bytes, *, allowed_networks: tuple[str, ...] = (), ca_bundle: str | None = None) -> Response:
        """Return the answer, or raise a RelyingPartyFault."""


class Attempt:
    """One token and one POST: what came of it, and how long it took."""

    result: outcomes.Result
    answer: Response | None = None
    signing = 0.0
    posting = 0.0

    def __init__(
        self,
        provider: Provider,
        client: Client,
        claims: Mapping[str, Any],
        signer: Signer,
        egress: Poster,
        *,
        is_too_late: Callable[[], bool],
    ) -> None:
        self._is_too_late = is_too_late
        self._client = client
        self._claims = claims
        self._signer = signer
        self._egress = egress
        self._key = signing_key(provider.keys, client.id_token_signed_response_alg)
        self.kid = self._key.kid

    @property
    def answered(self) -> Answered:
        """What is kept of the answer: of a failure, too, what the RP says about it (section 2.8), for people to read."""
        answer = self.answer
        if answer is None:
            return Answered()
        if answer.status < 400:  # noqa: PLR2004 - no failure
            return Answered(answer.status)
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):
            body = None
        said = body if isinstance(body, dict) else {}
        return Answered(answer.status, _clean(said.get("error")), _clean(said.get("error_description")))

    @property
    def retry_after(self) -> str | None:
        """What the answer's ``Retry-After`` says."""
        return self.answer.retry_after if self.answer else None

    @property
    def address(self) -> str | None:
        """The address that was dialled, if any was."""
        result = self.result
        if isinstance(result, RelyingPartyFault):
            return result.address
        return self.answer.address if self.answer else None

    @property
    def detail(self) -> str | None:
        """What a fault has to say beyond its code; for the log alone."""
        return _clean(str(self.result)) if isinstance(self.result, RelyingPartyFault) else None

    def make(self) -> None:
        """Sign and POST.

        Raises:
            FailingError: the RP is in trouble that may pass.
            SigningUnavailable: there is no token to POST.
            OutOfTime: what came of a POST could not be recorded any more.

        """
        client = self._client
        started = time.perf_counter()
        octets = jws.signing_input(logout_token.header(client, self.kid), self._claims)
        token = jws.serialize(octets, self._signer.sign(self._key, octets))
        signed = time.perf_counter()
        if self._is_too_late():
            raise OutOfTime
        body = b"logout_token=" + token.encode("ascii")  # section 2.5; a compact JWS needs no escaping
        uri = client.backchannel_logout_uri or ""
        try:
            self.answer = self._egress.post(uri, body, allowed_networks=client.allowed_networks, ca_bundle=client.ca_bundle)
            self.result = self.answer.status
        except RelyingPartyFault as fault:
            self.result = fault
        self.signing, self.posting = (signed - started) * 1000, (time.perf_counter() - signed) * 1000
        if outcomes.is_passing(self.result):
            raise FailingError


def _clean(text: object) -> str | None:
    """Cut a text of foreign origin, and take control characters out of it."""
    if not isinstance(text, str):
        return None
    return "".join(c if c.isprintable() else " " for c in text[:_CHARACTERS]) or None
