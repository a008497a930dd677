"""The formats of webhooks by name. A new one is a module with its Format, and a row here."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import cast

from backchannel.webhooks.format import Format

_ROWS: Mapping[str, str] = {
    "logout-token": "logout_tokens.FORMAT",
    "standard-webhooks": "standard_webhooks.FORMAT",
    "bearer": "bearer.FORMAT",
    "signed-jwt": "signed_jwt.FORMAT",
    "keycloak": "keycloak.FORMAT",
    "keycloak-jwt": "keycloak.JWT_FORMAT",
    "okta": "okta.FORMAT",
    "okta-universal-logout": "okta_universal_logout.FORMAT",
    "auth0": "auth0.FORMAT",
    "auth0-eventbridge": "auth0.EVENTBRIDGE_FORMAT",
    "zitadel": "zitadel.FORMAT",
    "workos": "workos.FORMAT",
    "clerk": "clerk.FORMAT",
    "logto": "logto.FORMAT",
    "fusionauth": "fusionauth.FORMAT",
    "hanko": "hanko.FORMAT",
    "pingone": "pingone.FORMAT",
    "security-event-token": "security_event_tokens.FORMAT",
    "cognito": "cognito.FORMAT",
}


class _Formats(Mapping[str, Format]):
    """Imports a format when its first webhook comes: nobody waits for the code of another sender."""

    def __getitem__(self, name: str) -> Format:
        module, _, row = _ROWS[name].partition(".")
        return cast("Format", getattr(import_module(f"backchannel.webhooks.{module}"), row))

    def __iter__(self) -> Iterator[str]:
        return iter(_ROWS)

    def __len__(self) -> int:
        return len(_ROWS)


FORMATS: Mapping[str, Format] = _Formats()
