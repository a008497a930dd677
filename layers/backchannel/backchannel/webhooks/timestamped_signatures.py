"""Signatures ``t=<time>,v1=<hex>``: HMAC-SHA256 over ``t.body``. ZITADEL counts seconds, WorkOS milliseconds."""

import hashlib
import hmac
import re
from typing import Literal

from backchannel.errors import SignatureInvalidError
from backchannel.webhooks.hmac_signatures import require_match
from backchannel.webhooks.request import Proven, Request, Trust

TOLERANCE = 300_000
"""Milliseconds that a signature is taken for, and its webhook can be sent again."""

LEEWAY = 60_000
"""Milliseconds that the sender's clock may be ahead of ours."""

MOST_SIGNATURES = 8
"""Signatures of a header that are looked at: one for each of the sender's keys."""

type Unit = Literal[1, 1000]
"""How many milliseconds ``t`` counts by."""

_TIME = re.compile("[0-9]{1,16}")
_HEX = re.compile("[0-9a-f]{64}")


def verify(header: str, request: Request, trust: Trust, now: int, unit: Unit) -> Proven:
    """Verify a header with one time and one signature or several, of which one must match; ``now`` in milliseconds.

    If it came twice, its values have been joined by a comma, too, and must have the same time. The work is the same whatever is
    wrong.

    Raises:
        SignatureInvalidError: missing, wrong, or its time is too far from now.

    """
    pairs = [pair.strip().partition("=") for pair in request.headers.get(header, "").split(",")]
    times = {value for name, _, value in pairs if name == "t"}
    claimed = [value for name, _, value in pairs if name == "v1" and _HEX.fullmatch(value)]
    time = times.pop() if len(times) == 1 else ""
    is_time = _TIME.fullmatch(time) is not None
    signed = f"{time if is_time else 0}.".encode() + request.body
    expected = [hmac.digest(secret.encode(), signed, hashlib.sha256).hex() for secret in trust.secrets()]
    if not is_time:
        raise SignatureInvalidError(f"the {header} header is missing, or has not one time")
    if not -LEEWAY <= now - int(time) * unit <= TOLERANCE:
        raise SignatureInvalidError("the signature's time is too far from now")
    require_match(claimed[:MOST_SIGNATURES], expected)
    return Proven(request.body)
