"""``/webhooks/{provider}/{source}``: verifies a webhook, reads it, and stores or queues its events.

There is only this route, so no event handler is needed; its import would be a fifth of the function's cold start.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.secrets import Secrets
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.intake import Intake
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Context, Request


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """Receives webhooks. ``provider`` and ``source`` read the configuration, and may be cached."""

    provider: Callable[[str], Provider]
    source: Callable[[str, str], Source]
    secrets: Secrets
    intake: Intake

    def receive(self, provider_name: str, source_name: str, request: Request, now: int) -> dict[str, int]:
        """Receive a webhook. Return how many of its events were starts, ends or ignored; by then all are stored or queued.

        Raises:
            CallerError: the signature or the body is not valid.
            InternalFailure: not everything is stored; the same webhook can be sent again.

        """
        provider, source = self.provider(provider_name), self.source(provider_name, source_name)
        source_format = FORMATS[source.format]
        source_format.verify(request, self.secrets.get(source.secret_name), now)
        parsed = source_format.parse(request, Context(provider.issuer, source.sid_trust, now))
        taken = self.intake.take(provider, parsed.events, now)
        counts = {"started": taken.started, "ended": taken.ended, "ignored": parsed.ignored}
        for name, count in counts.items():
            metrics.add_metric(f"SessionEvents{name.capitalize()}", MetricUnit.Count, count)
        logger.info("webhook.received", extra={"provider": provider_name, "source": source_name, **counts})
        return counts
