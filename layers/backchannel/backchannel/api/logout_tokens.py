"""``/webhooks/{provider}/{source}`` for forms: logout tokens of the provider's own (Back-Channel Logout 1.0, section 2.5).

Whatever is wrong, all forms are answered alike, and so is all else: nobody finds out which sources there are, or of which kind.
"""

import json
from collections.abc import Sequence
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
from backchannel.sessions.implied_starts import SAME_END, implied_session, implied_start
from backchannel.sessions.table import Sessions
from backchannel.webhooks.logout_tokens import LOGOUT_TOKEN, LogoutTokenClaims, read, token_in
from backchannel.webhooks.request import Parsed, Request, json_object

HEADERS = {"Cache-Control": "no-store"}

_KEPT = 86_400_000
"""Milliseconds for which a token is kept whose delivery never comes, if it has no ``exp``."""

_REFUSED = json.dumps({"error": "invalid_request", "error_description": "no logout token that is valid here"})


@dataclass(frozen=True, slots=True)
class _Proven:
    """A token that is verified, and the registered clients that it is for; none if it is for the client that stands for all."""

    issuer: str
    source: Source
    claims: LogoutTokenClaims
    clients: Sequence[Client]
    now: int

    def end(self, client_id: str | None) -> Ended:
        """Return what is over, as far as it matters to a client."""
        return self.claims.end(client_id, self.now, self.source.unmatched_sid)


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
        clients = [] if source.audience is not None else self._clients(provider_name, claims)
        proven = _Proven(provider.issuer, source, claims, clients, now)
        events = self._events(proven)
        if source.pass_on:
            self._keep(token_in(request), proven)
        self.webhooks.take(provider, source, Parsed(tuple(events)), now, passes_on=source.pass_on)

    def _clients(self, provider_name: str, claims: LogoutTokenClaims) -> list[Client]:
        """Return the registered clients that the token is for; others may be named beside them."""
        found = []
        for client_id in claims.audience:
            try:
                found.append(self.webhooks.client(provider_name, client_id))
            except NotFoundError:
                continue
        if not found:
            raise LogoutTokenInvalidError("aud names no registered client")
        return found

    def _events(self, proven: _Proven) -> list[SessionEvent]:
        """Return the starts that nobody has reported, and the ends; a whole session has one end, whoever the token is for."""
        if not proven.clients:
            return [proven.end(None)]
        starts = [start for client in proven.clients if (start := self._implied_start(proven, client)) is not None]
        ends = [proven.end(client.client_id) for client in proven.clients]
        return [*starts, *{logout_id(proven.issuer, end): end for end in ends}.values()]

    def _implied_start(self, proven: _Proven, client: Client) -> RpSessionStarted | None:
        end = proven.end(client.client_id)
        implied = implied_session(client.client_id, proven.claims.sub, proven.claims.sid, end)
        known = self.sessions.find(proven.issuer, implied, proven.now)
        is_told_by_others = client.own_tokens or not proven.source.pass_on
        return implied_start(proven.issuer, implied, known, end, is_told_by_others=is_told_by_others)

    def _keep(self, token: str, proven: _Proven) -> None:
        """Keep the token where the deliveries that it is for will find it."""
        claims = proven.claims
        for client in proven.clients:
            end = proven.end(client.client_id)
            self.deliveries.pass_on(
                logout_id(proven.issuer, end),
                client.client_id,
                claims.sid,
                PassedOnToken(token, claims.expires_at),
                ended_at=end.ended_at - SAME_END,
                keep_until=claims.expires_at or proven.now + _KEPT,
            )
