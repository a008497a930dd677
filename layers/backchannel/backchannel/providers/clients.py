"""A relying party as it is registered: its metadata under the names of Dynamic Client Registration."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from backchannel.reasons import Reason

Subject = Literal["both", "sid_only", "sub_only"]
Typ = Literal["logout+jwt", "JWT"] | None

MAX_EXP = 120
"""Seconds: a logout token should live two minutes at the most (Back-Channel Logout 1.0, section 4)."""

DEADLINE = 86_400
"""Seconds after which a delivery is given up; the last attempt is made at the deadline."""

ALL_BUT_EXPIRED = tuple(reason for reason in Reason if reason is not Reason.EXPIRED)
"""What clients are told of that do not say: most RP sessions end by themselves at that time."""

DEADLINE_MAX = 2 * DEADLINE
"""The latest deadline that a client may have; SQS keeps a message twice as long."""


@dataclass(frozen=True, slots=True)
class Client:
    """One relying party of a provider, and how its logout tokens are made.

    Beside the registered names:

    - ``subject``: which of ``sub`` and ``sid`` its tokens carry
    - ``typ``: the JOSE type of its tokens; None for no ``typ`` at all
    - ``exp``: seconds that a token lives
    - ``allowed_networks``: the private networks that its URI may lead into
    - ``ca_bundle``: certificate authorities of a private PKI, in PEM
    - ``give_up_after``: seconds that its deliveries are tried
    - ``paused``: its deliveries wait. ``paused_by`` is the IAM principal who paused it, at ``paused_at``; ``resumed_by`` ended
      its last pause, at ``resumed_at``. Times are in milliseconds since the epoch
    - ``logout_reasons``: it is told of sessions that ended for these reasons
    - ``own_tokens``: whether it trusts a key of this service; if not, it is sent the provider's own tokens alone
    """

    client_id: str
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    id_token_signed_response_alg: str = "RS256"
    id_token_encrypted_response_alg: str | None = None
    id_token_encrypted_response_enc: str | None = None
    jwks: Mapping[str, Any] | None = field(default=None, hash=False)
    jwks_uri: str | None = None
    token_endpoint_auth_method: str = "client_secret_basic"
    subject: Subject = "both"
    typ: Typ = "logout+jwt"
    exp: int = MAX_EXP
    allowed_networks: tuple[str, ...] = ()
    ca_bundle: str | None = None
    give_up_after: int = DEADLINE
    paused: bool = False
    logout_reasons: tuple[Reason, ...] = ALL_BUT_EXPIRED
    own_tokens: bool = True
    paused_by: str | None = None
    paused_at: int | None = None
    resumed_by: str | None = None
    resumed_at: int | None = None

    @property
    def needs_sid(self) -> bool:
        """Whether a token without ``sid`` is useless to this RP."""
        return self.backchannel_logout_session_required or self.subject == "sid_only"


def with_pauses(client: Client, known: Client | None, by: str, now: int) -> Client:
    """Return the client as somebody stores it in the place of ``known``, with what is kept of its pauses."""
    if known is not None:
        client = replace(client, resumed_by=known.resumed_by, resumed_at=known.resumed_at)
    was_paused = known is not None and known.paused
    if not client.paused:
        client = replace(client, paused_by=None, paused_at=None)
        return replace(client, resumed_by=by, resumed_at=now) if was_paused else client
    if known is not None and was_paused:
        by, now = known.paused_by or by, known.paused_at or now
    return replace(client, paused_by=by, paused_at=now)


def was_just_resumed(client: Client, now: int) -> bool:
    """Whether a client was resumed so recently that whoever asks for it again may have been told that it failed.

    Waking adds a message for each delivery that waits, so it is not done for nothing.
    """
    return not client.paused and client.resumed_at is not None and now - client.resumed_at < _JUST


_JUST = 300_000
