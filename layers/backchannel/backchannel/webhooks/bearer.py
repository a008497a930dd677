"""A static header, ``Authorization: Bearer <secret>``, for senders that can sign nothing.

It binds neither body nor time: whoever has read one request can send others. The event's own id and an age limit bound a replay.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

from backchannel.errors import RegistrationInvalidError
from backchannel.webhooks import hmac_signatures, standard_webhooks, static_header
from backchannel.webhooks.ed25519_signatures import refuse_public_key
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.request import Context, Parsed, Proven, Request, Trust, json_object

MAX_AGE = 3600
"""Seconds after which an event is refused: longer than senders try again, too short for what somebody finds in an old log."""

_SECRET = re.compile(r"[!-~]{24,}")
"""Visible ASCII: what every sender can put into a header. As many characters as Standard Webhooks has octets."""


def check_secret(secret: str) -> None:
    """Refuse a secret that is easy to guess or no secret at all, or that no header can carry.

    Raises:
        RegistrationInvalidError: it is one.

    """
    refuse_public_key(secret)
    if not _SECRET.fullmatch(secret):
        raise RegistrationInvalidError(
            "the secret is what follows Bearer in the header: at least 24 characters, all of them visible ASCII"
        )


def verify(request: Request, secrets: Sequence[str]) -> None:
    """Compare the header with all secrets, in a time that does not reveal how close it came.

    Raises:
        SignatureInvalidError: missing or wrong.

    """
    static_header.require(static_header.credentials(request), secrets)


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event. An end without a ``timestamp`` is one of now: the templates of some senders have no time of their own.

    Raises:
        CallerError: a member of the event is missing or not valid.

    """
    document = json_object(proven.body)
    if "timestamp" not in document and document.get("type") in standard_webhooks.ENDS:
        document["timestamp"] = datetime.fromtimestamp(context.now / 1000, UTC).isoformat(timespec="milliseconds")
        proven = replace(proven, body=json.dumps(document).encode())
    return standard_webhooks.parse(proven, context)


def _verify(request: Request, trust: Trust, _: int) -> Proven:
    hmac_signatures.as_for_nobody(request)
    verify(request, trust.secrets())
    return Proven(request.body)


FORMAT = Format(
    verify=_verify,
    parse=parse,
    entries=standard_webhooks.entries,
    check_secret=check_secret,
    success=HTTPStatus.OK,  # the one that every sender takes
    settings=EVENTS | {"sid_trust", "require_iss"},
    max_age=MAX_AGE,
)
