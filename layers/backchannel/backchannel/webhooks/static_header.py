"""A static ``Authorization`` header. The secret is its whole value, as the sender has it: with ``Bearer `` if that begins so.

It binds neither body nor time: whoever has read one request can send others.
"""

import hmac
import re
from collections.abc import Sequence

from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks import hmac_signatures
from backchannel.webhooks.ed25519_signatures import refuse_public_key
from backchannel.webhooks.request import Proven, Request, Trust

_SECRET = re.compile(r"([!-~]{1,32} )?[!-~]{24,}")
"""Visible ASCII, behind a scheme and a space or not: what every sender can put into a header."""

_CREDENTIALS = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)


def check_secret(secret: str) -> None:
    """Refuse a secret that is easy to guess or no secret at all, or that no header can carry.

    Raises:
        RegistrationInvalidError: it is one.

    """
    refuse_public_key(secret)
    if not _SECRET.fullmatch(secret):
        raise RegistrationInvalidError(
            "the secret is the whole Authorization header: at least 24 visible ASCII characters, behind a word and a space if the"
            " sender has those, too"
        )


def verify(request: Request, trust: Trust, _: int) -> Proven:
    """Prove the sender by the whole header.

    Raises:
        SignatureInvalidError: missing or wrong.

    """
    hmac_signatures.as_for_nobody(request)
    require(request.headers.get("authorization"), trust.secrets())
    return Proven(request.body)


def require(given: str | None, secrets: Sequence[str]) -> None:
    """Compare what was given with all secrets, in a time that does not reveal how close it came.

    Raises:
        SignatureInvalidError: missing or wrong.

    """
    octets = (given or "").encode(errors="surrogatepass")
    matches = [hmac.compare_digest(octets, secret.encode()) for secret in secrets]
    if given is None or not any(matches):
        raise SignatureInvalidError("the Authorization header is not that of the source")


def credentials(request: Request) -> str | None:
    """Return what follows ``Bearer`` in the Authorization header, None if there is no such header."""
    match = _CREDENTIALS.fullmatch(request.headers.get("authorization", ""))
    return None if match is None else match[1]
