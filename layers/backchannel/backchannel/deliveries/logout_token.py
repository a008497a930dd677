"""The logout token: its claims and its JOSE header for one client (Back-Channel Logout 1.0, section 2.4)."""

from collections.abc import Mapping
from typing import Any

from backchannel.providers.clients import Client

EVENT = "http://schemas.openid.net/event/backchannel-logout"

BACKDATING = 2
"""Seconds: ``iat`` lies this far back, since some RPs forgive no clock that is ahead of theirs."""


def header(client: Client, kid: str) -> dict[str, str]:
    """Return the JOSE header: always with ``kid``, since a set with two keys makes it a MUST (Core, section 10.1)."""
    fields = {"alg": client.id_token_signed_response_alg, "kid": kid}
    return fields if client.typ is None else {"typ": client.typ, **fields}


def claims(client: Client, *, issuer: str, sub: str | None, sid: str | None, jti: str, now: int) -> Mapping[str, Any]:
    """Return the claims; ``now`` in seconds, ``jti`` new for every attempt.

    At least one of ``sub``, as the client knows it, and ``sid`` is not None. Nothing else is ever in a token, least of all
    ``nonce`` (section 2.4).
    """
    iat = now - BACKDATING
    return {
        "iss": issuer,
        "aud": client.client_id,
        "iat": iat,
        "exp": iat + client.exp,
        "jti": jti,
        "events": {EVENT: {}},
        **{name: value for name, value in (("sub", sub), ("sid", sid)) if value is not None},
    }
