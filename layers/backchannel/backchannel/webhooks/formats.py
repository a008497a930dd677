"""The formats of webhooks: how each verifies its sender and reads its body. A new format is one row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from backchannel.errors import RegistrationInvalidError
from backchannel.webhooks import hmac_signatures, keycloak, standard_webhooks
from backchannel.webhooks.request import Context, Parsed, Proven, Request, Trust


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``verify`` and ``parse`` are pure and raise CallerError; ``parse`` sees nothing but what is proven.

    ``check_secret`` refuses a secret that could never verify. ``success`` is the status that its senders take for success.
    ``settings`` are those of a source that only some formats read. ``own_clients`` are the provider's own user interfaces: their
    logins are ignored unless they are registered as clients.
    """

    verify: Callable[[Request, Trust, int], Proven]
    parse: Callable[[Proven, Context], Parsed]
    check_secret: Callable[[str], object]
    success: HTTPStatus
    settings: frozenset[str] = frozenset()
    own_clients: frozenset[str] = frozenset()


_SECRET_CHARACTERS = 8


def _not_too_short(secret: str) -> None:
    if len(secret) < _SECRET_CHARACTERS:
        raise RegistrationInvalidError(f"the secret must have at least {_SECRET_CHARACTERS} characters")


def _keycloak_signature(request: Request, trust: Trust, _: int) -> Proven:
    hmac_signatures.hex_over_body("x-keycloak-signature", request, trust.secrets())
    return Proven(request.body)


def _standard_webhooks_signature(request: Request, trust: Trust, now: int) -> Proven:
    hmac_signatures.standard_webhooks(request, trust.secrets(), now)
    event_id, _, _ = hmac_signatures.standard_webhooks_headers(request)
    return Proven(request.body, event_id)


FORMATS: Mapping[str, Format] = {
    "standard-webhooks": Format(
        verify=_standard_webhooks_signature,
        parse=standard_webhooks.parse,
        check_secret=hmac_signatures.standard_webhooks_key,
        success=HTTPStatus.ACCEPTED,
        settings=frozenset({"require_iss"}),
    ),
    "keycloak": Format(
        verify=_keycloak_signature,
        parse=keycloak.parse,
        check_secret=_not_too_short,
        success=HTTPStatus.ACCEPTED,
        settings=frozenset({"realm"}),
        own_clients=frozenset({"account-console", "security-admin-console"}),
    ),
}
