"""Webhook sources as they are configured."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Source:
    """One configured webhook sender.

    ``sid_trust`` says whether its session ids are those in the provider's ID tokens, ``unmatched_sid`` whether the end of a
    session that nobody knows is the end of all sessions of its subject. ``require_iss`` and ``realm`` refuse what was signed for
    another provider that has the same secret. ``algorithm`` of an HMAC, None for the only one that its format has.
    ``ends_sessions`` are the policy words of the ends that end sessions, None for the default of its format.

    Where the sender signs tokens, they are for ``audience``, from ``token_issuer`` or else the provider's issuer, and their keys
    are at ``jwks_uri``, or else where the provider's upstream says. ``secret_name``: None where there is no secret.
    ``pass_on``: clients are sent the provider's own token as it is. ``max_lifetime`` of a token is in seconds, None for the
    default of its format. ``tolerate_typ``: they may have any ``typ``.

    ``email_is_sub``: the ``sub`` of ID tokens is the user's e-mail address. ``subject_issuers``: other issuers whose ``sub`` is
    the provider's. ``widen_subjects``: what is told of a part of a user's sessions means all of them; ``unnamed_session``:
    whether so does the end of a session that is not named, None for what its format says. ``verification_state``: what its
    stream is verified with. ``ends_at``: whether what is told for one client ends the user's sessions there, or everywhere.

    ``expected_interval``: seconds after which a source that has sent nothing is silent, None where that is not
    unusual.
    """

    source: str
    format: str
    secret_name: str | None
    sid_trust: Literal["claim", "sha256", "none"] = "claim"
    unmatched_sid: Literal["report", "end_subject"] = "report"
    require_iss: bool = False
    ends_sessions: tuple[str, ...] | None = None
    algorithm: str | None = None
    realm: str | None = None
    audience: str | None = None
    token_issuer: str | None = None
    jwks_uri: str | None = None
    allowed_networks: tuple[str, ...] = ()
    ca_bundle: str | None = None
    pass_on: bool = False
    tolerate_missing_exp: bool = False
    max_lifetime: int | None = None
    tolerate_typ: bool = False
    email_is_sub: bool = False
    ends_at: Literal["client", "user"] = "client"
    subject_issuers: tuple[str, ...] = ()
    widen_subjects: bool = False
    unnamed_session: Literal["report", "end_subject"] | None = None
    verification_state: str | None = None
    expected_interval: int | None = None


def secret_name(prefix: str, provider: str, source: str) -> str:
    """Return the name under which a source's secrets are kept; the functions' roles are bound to the prefix."""
    return f"{prefix}/{provider}/{source}"
