"""What a user pool's PreTokenGeneration trigger says of a sign-in. It imports nothing: a sign-in waits for the function.

A trigger's event names the user with all of its attributes, and no time. What is handed on is a copy that has only what becomes
a session event, and the time of receipt as ``receivedAt``, in milliseconds.
"""

from collections.abc import Mapping
from typing import Any

STARTS = frozenset(
    f"TokenGeneration_{how}" for how in ("HostedAuth", "Authentication", "NewPasswordChallenge", "AuthenticateDevice")
)
"""The triggers that are sign-ins. ``TokenGeneration_RefreshTokens``, for instance, is none."""

MAX_TEXT = 2048
"""Characters of each member that is handed on."""


class NotUnderstoodError(ValueError):
    """The event is a sign-in, but it does not name its user, client or pool."""


def issuer(region: str, user_pool_id: str) -> str:
    """Return the ``iss`` of a user pool's tokens."""
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"https://cognito-idp.{region}.amazonaws.com{suffix}/{user_pool_id}"


def message_of(event: Any, received_at: int) -> dict[str, Any] | None:
    """Return what is handed on of a trigger's event, None if it is no sign-in. The event itself stays as it is.

    Raises:
        NotUnderstoodError: it does not say who signed in where.

    """
    trigger = event.get("triggerSource") if isinstance(event, dict) else None
    if not isinstance(trigger, str) or trigger not in STARTS:
        return None
    region, pool = _text(event, "region"), _text(event, "userPoolId")
    return {
        "issuer": issuer(region, pool),
        "event": {
            "triggerSource": trigger,
            "region": region,
            "userPoolId": pool,
            "callerContext": {"clientId": _text(event, "callerContext", "clientId")},
            "request": {"userAttributes": {"sub": _text(event, "request", "userAttributes", "sub")}},
            "receivedAt": received_at,
        },
    }


def _text(event: Mapping[str, Any], *path: str) -> str:
    found: Any = event
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str) or not 1 <= len(found) <= MAX_TEXT:
        raise NotUnderstoodError(f"{'.'.join(path)} is missing or of another type")
    return found
