"""``/webhooks/{provider}/{source}`` for Security Event Tokens, answered as RFC 8935 wants it.

Whoever proves nothing gets the same answer, whatever is wrong: nobody finds out which sources there are, or of which kind.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from backchannel.api.webhooks import WebhookReceiver, session_events
from backchannel.errors import (
    AudienceMismatchError,
    CallerError,
    IssuerMismatchError,
    SignatureInvalidError,
    VerificationStateMismatchError,
)
from backchannel.runtime.observability import logger
from backchannel.webhooks.request import Request
from backchannel.webhooks.security_event_tokens import SECURITY_EVENT_TOKEN

HEADERS = {"Content-Type": "application/json", "Content-Language": "en-US"}

_CODES: Mapping[type[CallerError], str] = {
    SignatureInvalidError: "authentication_failed",
    IssuerMismatchError: "invalid_issuer",
    AudienceMismatchError: "invalid_audience",
    VerificationStateMismatchError: "invalid_state",
}
"""RFC 8935, section 2.4, and SSF 1.0, section 8.1.4. All others are ``invalid_request``.

``invalid_key`` and ``access_denied`` are not here: they would say that there is a source which knows other keys or senders.
"""


@dataclass(frozen=True, slots=True)
class SecurityEventTokenReceiver:
    """Receives SETs: ``webhooks`` proves them, and has the configuration."""

    webhooks: WebhookReceiver

    def answer(self, provider_name: str, source_name: str, request: Request, now: int) -> dict[str, Any]:
        """Receive a SET and answer: 202 once all that follows from it is stored or queued, else 400.

        Raises:
            InternalFailure: not everything is stored; the same SET can be sent again.

        """
        try:
            self._receive(provider_name, source_name, request, now)
        except CallerError as error:
            self.webhooks.refused(provider_name, source_name, error, now)
            logger.info("request.refused", code=error.code, detail=str(error))
            body = {"err": _CODES.get(type(error), "invalid_request"), "description": error.shown or str(error)}
            return {"statusCode": HTTPStatus.BAD_REQUEST, "headers": HEADERS, "body": json.dumps(body)}
        return {"statusCode": HTTPStatus.ACCEPTED, "headers": {}, "body": ""}

    def _receive(self, provider_name: str, source_name: str, request: Request, now: int) -> None:
        provider, source, proven = self.webhooks.proven(provider_name, source_name, request, now)
        if source.format != SECURITY_EVENT_TOKEN:
            raise SignatureInvalidError("this source takes no Security Event Tokens")
        parsed = session_events(proven, provider, source, self.webhooks.client, now)
        self.webhooks.take(provider, source, parsed, now)
