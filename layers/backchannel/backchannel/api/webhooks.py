"""``/webhooks/{provider}/{source}``: verifies a webhook, reads it, and stores or queues its events.

There is only this route, so no event handler is needed; its import would be a fifth of the function's cold start.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.secrets import Secrets
from backchannel.errors import NotFoundError, SignatureInvalidError
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.events import RpSessionStarted, SessionEvent
from backchannel.sessions.intake import Intake
from backchannel.webhooks import hmac_signatures
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Context, Request


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """Receives webhooks. ``provider``, ``source`` and ``client`` read the configuration, and may be cached."""

    provider: Callable[[str], Provider]
    source: Callable[[str, str], Source]
    client: Callable[[str, str], Client]
    secrets: Secrets
    intake: Intake

    def receive(self, provider_name: str, source_name: str, request: Request, now: int) -> dict[str, int]:
        """Receive a webhook. Return how many of its events were starts, ends or ignored; by then all are stored or queued.

        Raises:
            CallerError: the signature or the body is not valid.
            InternalFailure: not everything is stored; the same webhook can be sent again.

        """
        provider, source = self._proven(provider_name, source_name, request, now)
        parsed = FORMATS[source.format].parse(request, _context(provider, source, now))
        events = [event for event in parsed.events if not self._is_own_login(provider, source, event)]
        taken = self.intake.take(provider, events, now)
        ignored = parsed.ignored + len(parsed.events) - len(events)
        counts = {"started": taken.started, "ended": taken.ended, "ignored": ignored}
        for name, count in counts.items():
            metrics.add_metric(f"SessionEvents{name.capitalize()}", MetricUnit.Count, count)
        logger.info("webhook.received", extra={"provider": provider_name, "source": source_name, **counts})
        return counts

    def _proven(self, provider_name: str, source_name: str, request: Request, now: int) -> tuple[Provider, Source]:
        """Return the source that proved itself, with its provider. The answer does not tell a stranger whether there is one.

        Both are looked up, whichever is missing.
        """
        provider = _found(self.provider, provider_name)
        source = _found(self.source, provider_name, source_name)
        if isinstance(source, Source) and source.format not in FORMATS:
            source = NotFoundError("a logout token comes as a form")
        if isinstance(provider, NotFoundError) or isinstance(source, NotFoundError):
            hmac_signatures.as_for_nobody(request)
            missing = provider if isinstance(provider, NotFoundError) else source
            raise SignatureInvalidError(str(missing))
        FORMATS[source.format].verify(request, self.secrets.get(source.secret_name), now)
        return provider, source

    def _is_own_login(self, provider: Provider, source: Source, event: SessionEvent) -> bool:
        """Whether this is a login at the provider's own user interface, which is no client of ours."""
        if not isinstance(event, RpSessionStarted) or event.client_id not in FORMATS[source.format].own_clients:
            return False
        try:
            self.client(provider.provider, event.client_id)
        except NotFoundError:
            return True
        return False


def _found[**P, V](load: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V | NotFoundError:
    try:
        return load(*args, **kwargs)
    except NotFoundError as error:
        return error


def _context(provider: Provider, source: Source, now: int) -> Context:
    return Context(
        provider.issuer,
        source.sid_trust,
        now,
        unmatched_sid=source.unmatched_sid,
        require_iss=source.require_iss,
        realm=source.realm,
    )
