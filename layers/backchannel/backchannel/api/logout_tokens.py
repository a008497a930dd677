"""``/webhooks/{provider}/{source}`` for forms: logout tokens of the provider's own (Back-Channel Logout 1.0, section 2.5).

Whatever is wrong, all forms are answered alike, and so is all else: nobody finds out which sources there are, or of which kind.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.deliveries.records import PassedOnToken
from backchannel.deliveries.table import Deliveries
from backchannel.errors import CallerError, DocumentUnavailable, LogoutTokenInvalidError, NotFoundError, SignatureInvalidError
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.events import Ended, RpSessionStarted, SessionEvent, logout_id
from backchannel.sessions.implied_starts import SAME_END, implied_session, implied_start
from backchannel.sessions.intake import Intake
from backchannel.sessions.table import Sessions
from backchannel.tokens.documents import Accept, Document, Documents, Location
from backchannel.tokens.jws_verification import UnverifiedJws, unverified
from backchannel.tokens.upstream import Read, Upstream, read_jwk_set, read_metadata
from backchannel.webhooks.logout_tokens import (
    LOGOUT_TOKEN,
    MAX_LIFETIME,
    LogoutTokenClaims,
    LogoutTokenRules,
    check,
    token_in,
)
from backchannel.webhooks.request import Request

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
    """Receives logout tokens. ``provider``, ``source`` and ``client`` read the configuration, and may be cached."""

    provider: Callable[[str], Provider]
    source: Callable[[str, str], Source]
    client: Callable[[str, str], Client]
    documents: Documents
    sessions: Sessions
    deliveries: Deliveries
    intake: Intake

    def answer(self, provider_name: str, source_name: str, request: Request, now: int) -> dict[str, Any]:
        """Receive a token and answer (section 2.8): 200 once all that follows from it is stored or queued, else 400.

        Raises:
            InternalFailure: not everything is stored; the same token can be sent again.

        """
        try:
            self._receive(provider_name, source_name, request, now)
        except CallerError as error:
            logger.info("request.refused", code=error.code, detail=str(error))
            return {"statusCode": 400, "headers": {**HEADERS, "Content-Type": "application/json"}, "body": _REFUSED}
        return {"statusCode": 200, "headers": HEADERS, "body": ""}

    def _receive(self, provider_name: str, source_name: str, request: Request, now: int) -> None:
        token = unverified(token_in(request))
        provider, source = self.provider(provider_name), self.source(provider_name, source_name)
        if source.format != LOGOUT_TOKEN:
            raise SignatureInvalidError("this source takes no logout tokens")
        self._verify(token, provider)
        rules = LogoutTokenRules(
            provider.issuer, source.audience, source.tolerate_missing_exp, source.max_lifetime or MAX_LIFETIME
        )
        claims = check(token.claims, token.typ, rules, now)
        clients = [] if source.audience is not None else self._clients(provider_name, claims)
        proven = _Proven(provider.issuer, source, claims, clients, now)
        events = self._events(proven)
        if source.pass_on:
            self._keep(token.token, proven)
        taken = self.intake.take(provider, events, now)
        for name, count in (("Started", taken.started), ("Ended", taken.ended)):
            metrics.add_metric(f"SessionEvents{name}", MetricUnit.Count, count)
        counts = {"started": taken.started, "ended": taken.ended}
        logger.info("webhook.received", extra={"provider": provider_name, "source": source_name, **counts})

    def _verify(self, token: UnverifiedJws, provider: Provider) -> None:
        """Verify by the provider's keys. One that is not among them makes us look for it once: it may have been rotated in."""
        upstream = provider.upstream
        if upstream is None:
            raise DocumentUnavailable("the provider has no upstream any more")
        keys = _keys(upstream, provider.issuer, self.documents.get)
        if token.names_unknown_key(keys):
            keys = _keys(upstream, provider.issuer, self._renewed_jwks(upstream))
        token.verify(keys)

    def _renewed_jwks(self, upstream: Upstream) -> Read:
        def read(location: Location, accept: Accept) -> Document:
            is_metadata = location.uri == upstream.discovery
            return self.documents.get(location, accept) if is_metadata else self.documents.renewed(location, accept)

        return read

    def _clients(self, provider_name: str, claims: LogoutTokenClaims) -> list[Client]:
        """Return the registered clients that the token is for; others may be named beside them."""
        found = []
        for client_id in claims.audience:
            try:
                found.append(self.client(provider_name, client_id))
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


def _keys(upstream: Upstream, issuer: str, read: Read) -> list[dict[str, Any]]:
    metadata = None if upstream.jwks_uri is not None else read_metadata(upstream, issuer, read)
    keys: list[dict[str, Any]] = read_jwk_set(upstream, metadata, read).content["keys"]
    return keys
