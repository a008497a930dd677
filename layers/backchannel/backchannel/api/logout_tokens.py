"""``/webhooks/{provider}/{source}`` for forms: logout tokens of the provider's own (Back-Channel Logout 1.0, section 2.5).

Whatever is wrong, all forms are answered alike, and so is all else: nobody finds out which sources there are, or of which kind.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backchannel.api.webhooks import WebhookReceiver
from backchannel.deliveries.records import PassedOnToken
from backchannel.deliveries.table import Deliveries
from backchannel.errors import CallerError, LogoutTokenInvalidError, NotFoundError, SignatureInvalidError
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.runtime.observability import logger
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEvent, logout_id
from backchannel.sessions.implied_starts import implied_session, implied_start
from backchannel.sessions.table import Sessions
from backchannel.webhooks.logout_tokens import LOGOUT_TOKEN, LogoutTokenClaims, read, token_in
from backchannel.webhooks.request import Parsed, Request, json_object

HEADERS = {"Cache-Control": "no-store"}

_KEPT = 86_400_000
"""Milliseconds for which a token is kept whose delivery never comes, if it has no ``exp``."""

_REFUSED = json.dumps({"error": "invalid_request", "error_description": "no logout token that is valid here"})


@dataclass(frozen=True, slots=True)
class _Proven:
    """A token that is verified."""

    issuer: str
    source: Source
    claims: LogoutTokenClaims
    now: int

    def end(self, client_id: str | None) -> Ended:
        """Return what is over, as far as it matters to a client."""
        return self.claims.end(client_id, self.now, self.source.unmatched_sid)


@dataclass(frozen=True, slots=True)
class _Told:
    """A registered client that a token is for, what is over there, and the start that nobody has reported.

    ``is_anew``: it has a login that nobody has told it of.
    """

    client_id: str
    end: Ended
    start: RpSessionStarted | None
    is_anew: bool


@dataclass(frozen=True, slots=True)
class LogoutTokenReceiver:
    """Receives logout tokens: ``webhooks`` proves them, and has the configuration."""

    webhooks: WebhookReceiver
    sessions: Sessions
    deliveries: Deliveries

    def answer(self, provider_name: str, source_name: str, request: Request, now: int) -> dict[str, Any]:
        """Receive a token and answer (section 2.8): 200 once all that follows from it is stored or queued, else 400.

        Raises:
            InternalFailure: not everything is stored; the same token can be sent again.

        """
        try:
            self._receive(provider_name, source_name, request, now)
        except CallerError as error:
            self.webhooks.refused(provider_name, source_name, error, now)
            logger.info("request.refused", code=error.code, detail=str(error))
            return {"statusCode": 400, "headers": {**HEADERS, "Content-Type": "application/json"}, "body": _REFUSED}
        return {"statusCode": 200, "headers": HEADERS, "body": ""}

    def _receive(self, provider_name: str, source_name: str, request: Request, now: int) -> None:
        provider, source, verified = self.webhooks.proven(provider_name, source_name, request, now)
        if source.format != LOGOUT_TOKEN:
            raise SignatureInvalidError("this source takes no logout tokens")
        claims = read(json_object(verified.body), provider.issuer, now)
        clients = [] if source.audience is not None else registered_clients(self.webhooks.client, provider_name, claims)
        proven = _Proven(provider.issuer, source, claims, now)
        told = [self._look(proven, client) for client in clients]
        token = token_in(request) if source.pass_on else None
        kept = [] if token is None else [each.client_id for each in told if self._keep(token, proven, each)]
        self.webhooks.take(provider, source, Parsed(tuple(_events(proven, told))), now, passes_on=kept)

    def _look(self, proven: _Proven, client: Client) -> _Told:
        """Find out what a client is still to be told of."""
        end = proven.end(client.client_id)
        implied = implied_session(client.client_id, proven.claims.sub, proven.claims.sid, end)
        known = self.sessions.find(proven.issuer, implied, proven.now)
        is_told_by_others = client.own_tokens or not proven.source.pass_on
        start = implied_start(proven.issuer, implied, known, end, is_told_by_others=is_told_by_others)
        return _Told(client.client_id, end, start, is_anew=start is not None or known is None or known.ended_by is None)

    def _keep(self, token: str, proven: _Proven, told: _Told) -> bool:
        """Keep the token where the delivery that it is for will find it; True if nobody may be about to send that."""
        claims, ended_at = proven.claims, told.end.ended_at
        return self.deliveries.pass_on(
            logout_id(proven.issuer, told.end),
            told.client_id,
            claims.sid,
            PassedOnToken(token, claims.expires_at, ended_at),
            is_anew=told.is_anew,
            keep_until=claims.expires_at or proven.now + _KEPT,
        )


def registered_clients(client: Callable[[str, str], Client], provider_name: str, claims: LogoutTokenClaims) -> list[Client]:
    """Return the registered clients that a token is for; others may be named beside them.

    Raises:
        LogoutTokenInvalidError: none is registered.

    """
    found = []
    for client_id in claims.audience:
        try:
            found.append(client(provider_name, client_id))
        except NotFoundError:
            continue
    if not found:
        raise LogoutTokenInvalidError("aud names no registered client")
    return found


def _events(proven: _Proven, told: Sequence[_Told]) -> list[SessionEvent]:
    """Return the starts that nobody has reported, and the ends; a whole session has one end, whoever the token is for."""
    if not told:
        return [proven.end(None)]
    starts = [each.start for each in told if each.start is not None]
    return [*starts, *{logout_id(proven.issuer, each.end): each.end for each in told}.values()]
