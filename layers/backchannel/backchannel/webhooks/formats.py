"""The formats of webhooks: how each verifies its sender and reads its body. A new format is one row here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from backchannel.errors import RegistrationInvalidError
from backchannel.reasons import POLICIES
from backchannel.webhooks import (
    bearer,
    ed25519_signatures,
    hmac_signatures,
    keycloak,
    keycloak_signatures,
    logout_tokens,
    signed_jwt,
    standard_webhooks,
)
from backchannel.webhooks.request import MAX_BODY, Context, Parsed, Proven, Request, Trust


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``verify`` and ``parse`` are pure and raise CallerError; ``parse`` sees nothing but what is proven.

    ``check_secret`` refuses a secret that could never verify; None: senders are known by their JWKS. ``success`` is the status
    that its senders take for success. ``settings`` are those of a source that only some formats read, ``required`` those that it
    cannot do without. Events older than ``max_age`` seconds, and bodies of more than ``max_body`` octets, are refused.
    ``entries`` takes a batch apart, for formats that have any: into what ``parse`` reads one by one, or None for a single event.
    ``ends_sessions`` are the ends that end sessions if the source does not say which.
    ``event_id_is_beside``: an event's id does not come as a member of its body. ``own_clients`` are the provider's own user
    interfaces: their logins are ignored unless they are registered as clients.
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
    ends_sessions: frozenset[str] = frozenset(POLICIES)
    event_id_is_beside: bool = False
    own_clients: frozenset[str] = frozenset()

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


def _standard_webhooks_signature(request: Request, trust: Trust, now: int) -> Proven:
    hmac_signatures.standard_webhooks(request, trust.secrets(), now)
    event_id, _, _ = hmac_signatures.standard_webhooks_headers(request)
    return Proven(request.body, event_id)


def _standard_webhooks_secret(secret: str) -> None:
    is_public = secret.startswith(ed25519_signatures.PREFIX)
    (ed25519_signatures.public_key if is_public else hmac_signatures.standard_webhooks_key)(secret)


def _bearer(request: Request, trust: Trust, _: int) -> Proven:
    hmac_signatures.as_for_nobody(request)
    bearer.verify(request, trust.secrets())
    return Proven(request.body)


_JWKS = frozenset({"jwks_uri", "allowed_networks", "ca_bundle"})
_EVENTS = frozenset({"ends_sessions"})

_KEYCLOAK = Format(
    verify=keycloak_signatures.signed_by_secret,
    parse=keycloak.parse,
    check_secret=keycloak_signatures.check_secret,
    success=HTTPStatus.ACCEPTED,
    settings=_EVENTS | {"sid_trust", "realm", "algorithm"},
    max_body=MAX_BODY,  # an event may come with a representation of 1 MB, in which every quotation mark is escaped
    ends_sessions=frozenset(POLICIES) - {"token_revoked"},  # the end of a refresh token is not that of a session
    own_clients=frozenset({"account-console", "security-admin-console"}),
)

FORMATS: Mapping[str, Format] = {
    logout_tokens.LOGOUT_TOKEN: Format(
        verify=logout_tokens.verify,
        parse=logout_tokens.parse,
        check_secret=None,
        success=HTTPStatus.OK,
        settings=_JWKS | {"audience", "pass_on", "tolerate_missing_exp", "max_lifetime"},
    ),
    "standard-webhooks": Format(
        verify=_standard_webhooks_signature,
        parse=standard_webhooks.parse,
        entries=standard_webhooks.entries,
        check_secret=_standard_webhooks_secret,
        success=HTTPStatus.ACCEPTED,
        settings=_EVENTS | {"sid_trust", "require_iss"},
        event_id_is_beside=True,
    ),
    "bearer": Format(
        verify=_bearer,
        parse=standard_webhooks.parse,
        entries=standard_webhooks.entries,
        check_secret=bearer.check_secret,
        success=HTTPStatus.OK,  # the one that every sender takes
        settings=_EVENTS | {"sid_trust", "require_iss"},
        max_age=bearer.MAX_AGE,
    ),
    "signed-jwt": Format(
        verify=signed_jwt.verify,
        parse=standard_webhooks.parse,
        entries=standard_webhooks.entries,
        check_secret=None,
        success=HTTPStatus.OK,
        settings=_JWKS | _EVENTS | {"sid_trust", "require_iss", "audience", "token_issuer"},
        required=frozenset({"audience"}),
        event_id_is_beside=True,  # jti, which other JWTs have, too
    ),
    "keycloak": _KEYCLOAK,
    "keycloak-jwt": replace(
        _KEYCLOAK,
        verify=keycloak_signatures.signed_by_realm,
        check_secret=None,
        settings=_JWKS | _EVENTS | {"sid_trust", "realm", "audience", "token_issuer"},
        required=frozenset({"audience"}),
    ),
}
