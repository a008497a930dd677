"""What AWS IAM proves: events that come through SourceEventsQueue. Over HTTP, nobody can prove himself as such a sender."""

from backchannel.errors import SignatureInvalidError
from backchannel.webhooks import hmac_signatures
from backchannel.webhooks.request import Proven, Request, Trust


def refuse(request: Request, _: Trust, __: int) -> Proven:
    """Refuse a webhook, and take as long about it as if there were no such source.

    Raises:
        SignatureInvalidError: always.

    """
    hmac_signatures.as_for_nobody(request)
    raise SignatureInvalidError("events of this format come through SourceEventsQueue alone")
