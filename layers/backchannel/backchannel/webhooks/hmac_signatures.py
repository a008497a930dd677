"""Signatures of webhooks with HMAC-SHA256, or with ``v1a`` instead. While one secret replaces another, both are valid."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence

from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks import ed25519_signatures
from backchannel.webhooks.request import Proven, Request, Trust

TOLERANCE = 300
"""Seconds that a Standard Webhooks timestamp may differ from our clock, either way."""

_SECRET_OCTETS = range(24, 65)
_SECRET_CHARACTERS = 8
_PREFIXES = ("webhook", "svix")

_V1 = re.compile(r"(?<![^ \t,])v1,(?=([A-Za-z0-9+/]+={0,2})(?![^ \t,]))")
"""The signatures of a list. Also those behind an empty one, whose comma looks like a separator."""

_HALF_A_PAIR = re.compile(r"[\ud800-\udfff]")
"""Half of a surrogate pair, which JSON may write but UTF-8 does not have."""

_NOBODYS_KEY = bytes(32)


def verify_standard_webhooks(request: Request, trust: Trust, now: int) -> Proven:
    """Return what a sender has signed, with the id that it signed beside the body; ``now`` in milliseconds.

    Raises:
        SignatureInvalidError: no signature, a wrong one, or one of another time.

    """
    standard_webhooks(request, trust.secrets(), now)
    event_id, _, _ = standard_webhooks_headers(request)
    return Proven(request.body, event_id)


def standard_webhooks(request: Request, secrets: Sequence[str], now: int) -> None:
    """Verify a Standard Webhooks signature: base64 over ``id.timestamp.body``. The header may hold several; one must match.

    A secret that begins with ``whpk_`` is the public key of ``v1a`` signatures.

    They are separated by spaces, or by commas where several headers were joined. The work is the same whatever is wrong.

    Raises:
        SignatureInvalidError: missing, wrong, or its time is too far from ``now`` (milliseconds).

    """
    headers = _headers(request)
    message_id, timestamp, signatures = headers or ("", "", "")
    signed = _octets(f"{message_id}.{timestamp}.") + request.body
    expected = [
        base64.b64encode(hmac.digest(standard_webhooks_key(secret), signed, hashlib.sha256)).decode()
        for secret in secrets
        if not secret.startswith(ed25519_signatures.PREFIX)
    ]
    if headers is None:
        raise _headers_missing()
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(int(timestamp) - now // 1000) > TOLERANCE:
        raise SignatureInvalidError("webhook-timestamp is too far from now")
    if _HALF_A_PAIR.search(message_id):
        raise SignatureInvalidError("webhook-id is no text")
    public_keys = [secret for secret in secrets if secret.startswith(ed25519_signatures.PREFIX)]
    if not ed25519_signatures.is_signed(signatures, signed, public_keys):
        require_match(_V1.findall(signatures), expected)


def standard_webhooks_headers(request: Request) -> tuple[str, str, str]:
    """Return id, timestamp and signatures. All must have one prefix: an id under the other prefix is not the signed one.

    Raises:
        SignatureInvalidError: one of them is missing.

    """
    found = _headers(request)
    if found is None:
        raise _headers_missing()
    return found


def standard_webhooks_key(secret: str) -> bytes:
    """Return the octets of a ``whsec_`` secret.

    Raises:
        RegistrationInvalidError: it is not base64 of 24 to 64 octets.

    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RegistrationInvalidError("the secret is not base64 behind whsec_") from error
    if len(key) not in _SECRET_OCTETS:
        raise RegistrationInvalidError("the secret must have 24 to 64 octets")
    return key


def check_secret(secret: str) -> None:
    """Refuse a secret of any text that is easy to guess, or no secret at all.

    Raises:
        RegistrationInvalidError: it is one.

    """
    ed25519_signatures.refuse_public_key(secret)
    if len(secret) < _SECRET_CHARACTERS:
        raise RegistrationInvalidError(f"the secret must have at least {_SECRET_CHARACTERS} characters")


def hex_over_body(header: str, request: Request, secrets: Sequence[str]) -> None:
    """Verify a signature in hexadecimal over the body alone.

    It covers no time and no id, so a replay is not refused; docs/decisions.md says what one can do. Several headers may have been
    joined; one signature must match.

    Raises:
        SignatureInvalidError: missing or wrong.

    """
    claimed = [each.removeprefix("sha256=") for each in re.split(r"[ \t,]+", request.headers.get(header, "").lower())]
    require_match(claimed, [hmac.digest(secret.encode(), request.body, hashlib.sha256).hex() for secret in secrets])


def as_for_nobody(request: Request) -> None:
    """Do the work of a verification where there is no secret, so that the time of the answer does not show that."""
    hmac.digest(_NOBODYS_KEY, request.body, hashlib.sha256)


def _headers(request: Request) -> tuple[str, str, str] | None:
    for prefix in _PREFIXES:
        names = [f"{prefix}-{name}" for name in ("id", "timestamp", "signature")]
        if all(name in request.headers for name in names):
            message_id, timestamp, signatures = (request.headers[name] for name in names)
            return message_id, timestamp, signatures
    return None


def _headers_missing() -> SignatureInvalidError:
    return SignatureInvalidError("the webhook-id, webhook-timestamp and webhook-signature headers are needed")


def require_match(claimed: Sequence[str], expected: Sequence[str]) -> None:
    """Compare all pairs, in a time that does not reveal how close they came.

    Raises:
        SignatureInvalidError: none match.

    """
    matches = [hmac.compare_digest(_octets(one), _octets(other)) for one in claimed for other in expected]
    if not any(matches):
        raise SignatureInvalidError("no signature matches")


def _octets(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
