"""The checks of a ``logout-token`` source before it is stored, and of those that others share with it."""

from backchannel.api.requests import SourceMetadata
from backchannel.errors import RegistrationInvalidError
from backchannel.providers.table import Provider
from backchannel.webhooks.logout_tokens import LOGOUT_TOKEN

SETTINGS = ("pass_on", "audience", "tolerate_missing_exp", "max_lifetime")
"""What no other format reads."""


def check_logout_token_settings(metadata: SourceMetadata, provider: Provider) -> None:
    """Refuse settings that contradict the format, or each other.

    Raises:
        RegistrationInvalidError: they do, or nobody knows the keys of the provider.

    """
    if metadata.format != LOGOUT_TOKEN:
        for name in SETTINGS:
            if getattr(metadata, name):
                raise RegistrationInvalidError(f"{name} is for logout-token alone")
        if metadata.secret is None:
            raise RegistrationInvalidError("secret is needed for this format")
        return
    if metadata.secret is not None or metadata.previous_secret is not None:
        raise RegistrationInvalidError("logout-token takes no secret: the provider's keys prove it")
    if metadata.require_iss or metadata.realm is not None or metadata.sid_trust != "claim":
        raise RegistrationInvalidError("require_iss, realm and sid_trust are not for logout-token: its iss is always checked")
    if provider.upstream is None:
        raise RegistrationInvalidError(
            "logout-token needs the keys of the provider: give it upstream (discovery or jwks_uri) with PUT /providers/{provider}"
        )
    if metadata.pass_on and metadata.audience is not None:
        raise RegistrationInvalidError("pass_on contradicts audience: a token of that client is no token for another one")
