"""Webhook sources as they are configured."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Source:
    """One configured webhook sender.

    ``sid_trust`` says whether its session ids are those in the provider's ID tokens, ``unmatched_sid`` whether the end of a
    session that nobody knows is the end of all sessions of its subject. ``require_iss`` and ``realm`` refuse what was signed for
    another provider that has the same secret.

    The others are for ``logout-token``, which has no secret. ``pass_on``: clients are sent the provider's token as it is.
    ``audience`` is the client whose tokens stand for all. ``max_lifetime`` is in seconds, None for the default.
    """

    source: str
    format: str
    secret_name: str
    sid_trust: Literal["claim", "sha256", "none"] = "claim"
    unmatched_sid: Literal["report", "end_subject"] = "report"
    require_iss: bool = False
    realm: str | None = None
    pass_on: bool = False
    audience: str | None = None
    tolerate_missing_exp: bool = False
    max_lifetime: int | None = None


def secret_name(prefix: str, provider: str, source: str) -> str:
    """Return the name under which a source's secrets are kept; the functions' roles are bound to the prefix."""
    return f"{prefix}/{provider}/{source}"
