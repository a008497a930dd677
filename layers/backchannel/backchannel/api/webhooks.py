"""``/webhooks/{provider}/{source}``: verifies a webhook, reads it, and stores or queues its events.

There is only this route, so no event handler is needed; its import would be a fifth of the function's cold start.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol

from backchannel.api.source_counter import SourceCounter
from backchannel.api.source_intake import HandOn, SourceIntake
from backchannel.aws.secrets import Secrets
from backchannel.errors import (
    CallerError,
    EventTimeInvalidError,
    InternalFailure,
    NotFoundError,
    PayloadTooLargeError,
    SignatureInvalidError,
)
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger
from backchannel.sessions.events import RpSessionStarted, SessionEvent
from backchannel.sessions.intake import Intake
from backchannel.webhooks import hmac_signatures
from backchannel.webhooks.batches import read_batch
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.policies import chosen
from backchannel.webhooks.request import Context, Parsed, Proven, Request, Trust


class JwtVerifier(Protocol):
    """The keys of senders that sign tokens: ``api.sender_keys.SenderKeys``, which is imported when it is needed."""

    def verified(self, provider: Provider, source: Source, token: str) -> tuple[str | None, Mapping[str, Any]]:
        """Return ``typ`` and claims of a token that a key of the source's sender has signed."""


@dataclass(frozen=True, slots=True)
class Received:
    """How a webhook is answered: how many of its events were starts or ends, or caused nothing, and which were refused."""

    status: HTTPStatus
    counts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """Receives webhooks. ``provider``, ``source`` and ``client`` read the configuration, and may be cached.

    ``sender_keys`` is called only for formats whose senders sign tokens, ``hand_on`` for large batches; None: they are stored
    at once, too.
    """

    provider: Callable[[str], Provider]
    source: Callable[[str, str], Source]
    client: Callable[[str, str], Client]
    secrets: Secrets
    intake: Intake
    sender_keys: Callable[[], JwtVerifier]
    counter: SourceCounter
    hand_on: HandOn | None = None

    def receive(self, provider_name: str, source_name: str, request: Request, now: int) -> Received:
        """Receive a webhook. Once this returns, all of its events are stored or queued, but for refused ones of a batch.

        Raises:
            CallerError: the signature or the body is not valid.
            InternalFailure: not everything is stored; the same webhook can be sent again.

        """
        provider, source, proven = self.proven(provider_name, source_name, request, now)
        parsed = session_events(proven, provider, source, self.client, now)  # not before the proof: nobody else learns its limits
        counts = SourceIntake(self.intake, self.counter).take(provider, source, parsed, now, hand_on=self.hand_on)
        caused_nothing = counts["ignored"] + counts["unmappable"]
        answer: dict[str, Any] = {"started": counts["started"], "ended": counts["ended"], "ignored": caused_nothing}
        if parsed.refused:
            answer["refused"] = [asdict(each) for each in parsed.refused]
        return Received(FORMATS[source.format].success, answer)

    def take(
        self, provider: Provider, source: Source, parsed: Parsed, now: int, *, passes_on: Collection[str] = ()
    ) -> Mapping[str, int]:
        """Store or queue events of a source, and count them.

        ``passes_on``: clients for which tokens are kept that nobody may be about to send.

        Raises:
            InternalFailure: not everything is stored; the same events can be sent again.

        """
        return SourceIntake(self.intake, self.counter).take(provider, source, parsed, now, passes_on=passes_on)

    def refused(self, provider_name: str, source_name: str, error: CallerError, now: int) -> None:
        """Count a webhook that was refused, and have the log name its source, if there is one.

        What strangers make up costs nothing.
        """
        try:
            source = _found(self.source, provider_name, source_name)
        except InternalFailure:
            return  # it has not been looked up before, and the answer does not depend on it
        if not isinstance(source, NotFoundError):
            logger.append_keys(provider=provider_name, source=source_name)  # for the line that says why, which the caller writes
            self.counter.refused(provider_name, source_name, error.code, now)

    def proven(self, provider_name: str, source_name: str, request: Request, now: int) -> tuple[Provider, Source, Proven]:
        """Return the source that proved itself, its provider, and what it has sent.

        The answer does not tell a stranger whether there is such a source.
        """
        provider, source = self._configured(provider_name, source_name, request)
        return provider, source, FORMATS[source.format].verify(request, self._trust(provider, source), now)

    def challenged(self, provider_name: str, source_name: str, request: Request, now: int) -> Mapping[str, str]:
        """Answer a sender that asks whether this is the address of a receiver. Only the source's own sender is answered.

        Raises:
            SignatureInvalidError: it did not prove itself, or senders of this format do not ask.
            CallerError: it did, and asks in a way that is not its format's.

        """
        provider, source = self._configured(provider_name, source_name, request)
        row = FORMATS[source.format]
        if row.challenge is None:
            hmac_signatures.as_for_nobody(request)
            raise SignatureInvalidError("senders of this format do not ask")
        row.verify(request, self._trust(provider, source), now)
        answer = row.challenge(request)
        logger.info("webhook.challenged", provider=provider.provider, source=source.source)
        return answer

    def _configured(self, provider_name: str, source_name: str, request: Request) -> tuple[Provider, Source]:
        """Return provider and source. Both are looked up, whichever is missing."""
        provider = _found(self.provider, provider_name)
        source = _found(self.source, provider_name, source_name)
        if isinstance(provider, NotFoundError) or isinstance(source, NotFoundError):
            hmac_signatures.as_for_nobody(request)
            missing = provider if isinstance(provider, NotFoundError) else source
            raise SignatureInvalidError(str(missing))
        return provider, source

    def _trust(self, provider: Provider, source: Source) -> Trust:
        row = FORMATS[source.format]
        return Trust(
            secrets=lambda: [] if source.secret_name is None else row.usable(self.secrets.get(source.secret_name)),
            verified_jwt=lambda token: self.sender_keys().verified(provider, source, token),
            issuer=source.token_issuer or provider.issuer,
            audience=source.audience,
            tolerate_missing_exp=source.tolerate_missing_exp,
            max_lifetime=source.max_lifetime,
            tolerate_typ=source.tolerate_typ,
            has_secret=source.secret_name is not None,
        )


def session_events(proven: Proven, provider: Provider, source: Source, client: Callable[[str, str], Client], now: int) -> Parsed:
    """Return what a source's webhook means: ends that its policy does not choose are ignored, entries of a batch may be refused.

    Logins at the provider's own user interface, which is no client of ours, are ignored, too.

    Raises:
        CallerError: the body is not valid, the event is too old, or the batch too large.

    """
    row = FORMATS[source.format]
    if len(proven.body) > row.max_body:
        raise PayloadTooLargeError(f"the body is larger than {row.max_body} octets")
    context = _context(provider, source, now)
    ends_sessions = row.ends_sessions if source.ends_sessions is None else source.ends_sessions

    def read(each: Proven) -> Parsed:
        parsed = row.parse(each, context)
        for event in parsed.events:
            _check_age(event, row.max_age, now)
        events = tuple(event for event in parsed.events if not _is_own_login(event, row.own_clients, provider, client))
        ignored = parsed.ignored + len(parsed.events) - len(events)
        return chosen(replace(parsed, events=events, ignored=ignored), ends_sessions)

    entries = None if row.entries is None else row.entries(proven)
    return read(proven) if entries is None else read_batch(entries, read)


def _is_own_login(
    event: SessionEvent, own_clients: frozenset[str], provider: Provider, client: Callable[[str, str], Client]
) -> bool:
    if not isinstance(event, RpSessionStarted) or event.client_id not in own_clients:
        return False
    return isinstance(_found(client, provider.provider, event.client_id), NotFoundError)


def _found[**P, V](load: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V | NotFoundError:
    try:
        return load(*args, **kwargs)
    except NotFoundError as error:
        return error


def _check_age(event: SessionEvent, max_age: int | None, now: int) -> None:
    at = event.started_at if isinstance(event, RpSessionStarted) else event.ended_at
    if max_age is not None and now - at > max_age * 1000:
        raise EventTimeInvalidError(f"the event is older than {max_age} seconds")


def _context(provider: Provider, source: Source, now: int) -> Context:
    return Context(
        provider.issuer,
        source.sid_trust,
        now,
        unmatched_sid=source.unmatched_sid,
        require_iss=source.require_iss,
        realm=source.realm,
        stands_for_all=source.audience is not None,
        token_issuer=source.token_issuer,
        email_is_sub=source.email_is_sub,
        ends_at=source.ends_at,
        subject_issuers=source.subject_issuers,
        widen_subjects=source.widen_subjects,
        unnamed_session=source.unnamed_session,
        verification_state=source.verification_state,
    )
