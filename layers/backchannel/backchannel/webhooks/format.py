"""What a format of webhooks is. Each format's module ends with its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from backchannel.errors import RegistrationInvalidError
from backchannel.reasons import POLICIES
from backchannel.webhooks.request import Context, Parsed, Proven, Request, Trust

JWKS = frozenset({"jwks_uri", "allowed_networks", "ca_bundle"})
"""The settings of formats whose senders sign tokens."""

EVENTS = frozenset({"ends_sessions"})
"""The setting of formats that say why sessions end."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``verify`` and ``parse`` are pure and raise CallerError; ``parse`` sees nothing but what is proven.

    ``check_secret`` refuses a secret that could never verify; None: senders are known by their JWKS. ``success`` is the status
    that its senders take for success. ``settings`` are those of a source that only some formats read, ``required`` those that it
    cannot do without. Events older than ``max_age`` seconds, and bodies of more than ``max_body`` octets, are refused.
    ``entries`` takes a batch apart, for formats that have any: into what ``parse`` reads one by one, or None for a single event.
    ``ends_sessions`` are the ends that end sessions if the source does not say which.
    ``challenge`` answers a proven sender's GET, which asks whether the address is a receiver's; None: its senders do not ask.
    ``event_id_is_beside``: an event's id does not come as a member of its body. ``own_clients`` are the provider's own user
    interfaces: their logins are ignored unless they are registered as clients. ``secret_optional``: senders are known by their
    JWKS, and by a secret, too, if the source has one.
    ``by_iam``: AWS IAM proves the sender, who writes to SourceEventsQueue; nobody can prove himself over HTTP.
    """

    verify: Callable[[Request, Trust, int], Proven]
    parse: Callable[[Proven, Context], Parsed]
    check_secret: Callable[[str], object] | None
    success: HTTPStatus
    settings: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    max_age: int | None = None
    max_body: int = 1_048_576
    entries: Callable[[Proven], Sequence[Proven] | None] | None = None
    challenge: Callable[[Request], Mapping[str, str]] | None = None
    ends_sessions: frozenset[str] = frozenset(POLICIES)
    event_id_is_beside: bool = False
    own_clients: frozenset[str] = frozenset()
    secret_optional: bool = False
    by_iam: bool = False

    def usable(self, secrets: Sequence[str]) -> list[str]:
        """Return those that could be registered: just after a source's format changed, they may be those of the other format."""
        return [secret for secret in secrets if self._takes(secret)]

    def _takes(self, secret: str) -> bool:
        if self.check_secret is None:
            return False
        try:
            self.check_secret(secret)
        except RegistrationInvalidError:
            return False
        return True
