"""Webhook sources as they are configured."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Source:
    """One configured webhook sender. ``sid_trust`` says whether its session ids are those in the provider's ID tokens."""

    source: str
    format: str
    secret_name: str
    sid_trust: Literal["claim", "sha256", "none"] = "claim"


def secret_name(prefix: str, provider: str, source: str) -> str:
    """Return the name under which a source's secrets are kept; the functions' roles are bound to the prefix."""
    return f"{prefix}/{provider}/{source}"
