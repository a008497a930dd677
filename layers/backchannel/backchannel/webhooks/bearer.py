"""A static header, ``Authorization: Bearer <secret>``, for senders that can sign nothing.

It binds neither body nor time: whoever has read one request can send others. The event's own id and an age limit bound a replay.
"""

import hmac
import re
from collections.abc import Sequence

from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks.ed25519_signatures import refuse_public_key
from backchannel.webhooks.request import Request

MAX_AGE = 3600
"""Seconds after which an event is refused: longer than senders try again, too short for what somebody finds in an old log."""

_SECRET = re.compile(r"[!-~]{24,}")
"""Visible ASCII: what every sender can put into a header. As many characters as Standard Webhooks has octets."""

_CREDENTIALS = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)


def check_secret(secret: str) -> None:
    """Refuse a secret that is easy to guess or no secret at all, or that no header can carry.

    Raises:
        RegistrationInvalidError: it is one.

    """
    refuse_public_key(secret)
    if not _SECRET.fullmatch(secret):
        raise RegistrationInvalidError("the secret must have at least 24 characters, all of them visible ASCII")


def verify(request: Request, secrets: Sequence[str]) -> None:
    """Compare the header with all secrets, in a time that does not reveal how close it came.

    Raises:
        SignatureInvalidError: missing or wrong.

    """
    given = credentials(request)
    matches = [hmac.compare_digest((given or "").encode(), secret.encode()) for secret in secrets]
    if given is None or not any(matches):
        raise SignatureInvalidError("the Authorization header is not that of the source")


def credentials(request: Request) -> str | None:
    """Return what follows ``Bearer`` in the Authorization header, None if there is no such header."""
    match = _CREDENTIALS.fullmatch(request.headers.get("authorization", ""))
    return None if match is None else match[1]
