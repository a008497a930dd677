"""The logout token: its claims and its JOSE header for one client (Back-Channel Logout 1.0, section 2.4)."""

from collections.abc import Mapping
from typing import Any

from backchannel.providers.clients import Client

EVENT = "http://schemas.openid.net/event/backchannel-logout"

BACKDATING = 2
"""Seconds: ``iat`` lies this far back, since some RPs forgive no clock that is ahead of theirs."""


class UnaddressableError(ValueError):
    """The RP needs a ``sid`` (or a ``sub``) that nobody knows; a guess would end another session, or none."""


def header(client: Client, kid: str) -> dict[str, str]:
    """Return the JOSE header: always with ``kid``, since a set with two keys makes it a MUST (Core, section 10.1)."""
    fields = {"alg": client.id_token_signed_response_alg, "kid": kid}
    return fields if client.typ is None else {"typ": client.typ, **fields}


def claims(
    client: Client,
    *,
    issuer: str,
    sub: str | None,
    sid: str | None,
    jti: str,
    now: int,
) -> Mapping[str, Any]:
    """Return the claims; ``now`` in seconds, ``jti`` new for every attempt.

    ``sub`` is the subject as the client knows it. Nothing else is ever in a token, least of all ``nonce`` (section 2.4).

    Raises:
        UnaddressableError: what the client's profile calls for is not known.

    """
    who = _who(client, sub, sid)
    iat = now - BACKDATING
    return {
        "iss": issuer,
        "aud": client.client_id,
        "iat": iat,
        "exp": iat + client.exp,
        "jti": jti,
        "events": {EVENT: {}},
        **who,
    }


def _who(client: Client, sub: str | None, sid: str | None) -> dict[str, str]:
    """At least one of ``sub`` and ``sid``; without ``sid`` the token ends all of the subject's sessions at this RP."""
    if client.needs_sid and sid is None:
        raise UnaddressableError("the RP needs sid, and none is known")
    chosen = {
        name: value
        for name, value, unwanted in (("sub", sub, "sid_only"), ("sid", sid, "sub_only"))
        if value is not None and client.subject != unwanted
    }
    if not chosen:
        raise UnaddressableError("neither sub nor sid is known")
    return chosen
