from typing import get_args

import pytest
from pydantic import ValidationError

from backchannel.api.requests import SourceMetadata
from backchannel.api.sources import check_settings
from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.logout_tokens import LOGOUT_TOKEN
from backchannel.webhooks.request import Request


def test_exactly_the_formats_can_be_registered() -> None:
    registrable = get_args(SourceMetadata.model_fields["format"].annotation)

    assert set(registrable) == {*FORMATS, LOGOUT_TOKEN}


@pytest.mark.parametrize("name", ["", "okta", "Keycloak", "standard_webhooks"])
def test_an_unknown_format_is_refused_at_registration(name: str) -> None:
    assert name not in FORMATS
    with pytest.raises(ValidationError, match="format"):
        SourceMetadata.model_validate({"format": name, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("setting", [{"require_iss": True}, {"realm": "customer"}])
def test_a_setting_that_the_format_does_not_read_is_refused(name: str, setting: dict[str, object]) -> None:
    metadata = SourceMetadata.model_validate({"format": name, "secret": "kc-synthetic", **setting})

    if setting.keys() <= FORMATS[name].settings:
        check_settings(metadata)
    else:
        with pytest.raises(RegistrationInvalidError, match=next(iter(setting))):
            check_settings(metadata)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_refuses_an_unsigned_webhook(name: str) -> None:
    with pytest.raises(SignatureInvalidError):
        FORMATS[name].verify(Request(b"{}", {}), ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], 0)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("secret", ["", "short", "7 chars"])
def test_every_format_refuses_a_secret_that_cannot_verify(name: str, secret: str) -> None:
    with pytest.raises(RegistrationInvalidError):
        FORMATS[name].check_secret(secret)


@pytest.mark.parametrize(
    ("name", "secret"),
    [("keycloak", "kc-synthetic"), ("keycloak", "8 of it!"), ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
)
def test_a_format_accepts_the_secrets_that_its_senders_use(name: str, secret: str) -> None:
    FORMATS[name].check_secret(secret)
