"""The formats of webhooks: how each verifies its sender and reads its body. A new format is one row here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from backchannel.errors import RegistrationInvalidError
from backchannel.webhooks import hmac_signatures, keycloak, standard_webhooks
from backchannel.webhooks.request import Context, Parsed, Request


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``check_secret`` refuses a secret that could never verify; ``verify`` and ``parse`` raise CallerError.

    ``settings`` are those of a source that only this format reads. ``own_clients`` are the provider's own user interfaces: their
    logins are ignored unless they are registered as clients.
    """

    verify: Callable[[Request, Sequence[str], int], None]
    parse: Callable[[Request, Context], Parsed]
    check_secret: Callable[[str], object]
    settings: frozenset[str] = frozenset()
    own_clients: frozenset[str] = frozenset()


_SECRET_CHARACTERS = 8


def _not_too_short(secret: str) -> None:
    if len(secret) < _SECRET_CHARACTERS:
        raise RegistrationInvalidError(f"the secret must have at least {_SECRET_CHARACTERS} characters")


FORMATS: Mapping[str, Format] = {
    "standard-webhooks": Format(
        verify=hmac_signatures.standard_webhooks,
        parse=standard_webhooks.parse,
        check_secret=hmac_signatures.standard_webhooks_key,
        settings=frozenset({"require_iss"}),
    ),
    "keycloak": Format(
        verify=lambda request, secrets, _: hmac_signatures.hex_over_body("x-keycloak-signature", request, secrets),
        parse=keycloak.parse,
        check_secret=_not_too_short,
        settings=frozenset({"realm"}),
        own_clients=frozenset({"account-console", "security-admin-console"}),
    ),
}
