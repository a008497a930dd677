from typing import get_args

import pytest
from pydantic import ValidationError

from backchannel.api.requests import SourceMetadata
from backchannel.api.sources import check_settings, checked_secrets
from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.logout_tokens import LOGOUT_TOKEN
from backchannel.webhooks.request import Request
from tests.unit.fakes import EVENTS, trust


def test_exactly_the_formats_can_be_registered() -> None:
    registrable = get_args(SourceMetadata.model_fields["format"].annotation)

    assert set(registrable) == {*FORMATS, LOGOUT_TOKEN}


@pytest.mark.parametrize("name", ["", "entra", "Keycloak", "standard_webhooks"])
def test_an_unknown_format_is_refused_at_registration(name: str) -> None:
    assert name not in FORMATS
    with pytest.raises(ValidationError, match="format"):
        SourceMetadata.model_validate({"format": name, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})


SECRETS = {
    "standard-webhooks": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "bearer": "a-static-secret-of-32-characters",
    "keycloak": "kc-synthetic",
    "okta": "a-whole-header-of-32-characters!",
    "auth0": "Bearer a-whole-header-of-more-characters",
    "zitadel": "zitadel-example",
    "workos": "workos-example",
    "clerk": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "logto": "logto-example",
    "pingone": "Bearer a-static-secret-of-32-characters",
    "security-event-token": "24-visible-characters-!~",
}
SETTINGS: dict[str, object] = {
    "ends_sessions": ["logout"],
    "require_iss": True,
    "algorithm": "HmacSHA256",
    "realm": "customer",
    "audience": "backchannel-hub",
    "token_issuer": "https://idp.example.test/hub",
    "jwks_uri": "https://idp.example.test/jwks",
    "allowed_networks": ["10.0.0.0/8"],
    "ca_bundle": "PEM",
    "sid_trust": "none",
    "pass_on": True,
    "tolerate_missing_exp": True,
    "max_lifetime": 600,
    "tolerate_typ": True,
    "email_is_sub": True,
    "ends_at": "user",
    "subject_issuers": ["https://accounts.example.test/"],
    "widen_subjects": True,
    "unnamed_session": "end_subject",
    "verification_state": "c3RhdGU=",
}


def _metadata(name: str, **settings: object) -> SourceMetadata:
    needed = {setting: SETTINGS[setting] for setting in FORMATS[name].required}
    secret = {"secret": SECRETS[name]} if name in SECRETS else {}
    return SourceMetadata.model_validate({"format": name, **secret, **needed, **settings})


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_the_format_does_not_read_is_refused(name: str, setting: str) -> None:
    metadata = _metadata(name, **{setting: SETTINGS[setting]})

    if setting in FORMATS[name].settings:
        check_settings(metadata)
    else:
        with pytest.raises(RegistrationInvalidError, match=setting):
            check_settings(metadata)


def test_every_setting_that_only_some_formats_read_is_known() -> None:
    assert {setting for row in FORMATS.values() for setting in row.settings} == SETTINGS.keys()


def test_a_signed_token_needs_an_audience() -> None:
    with pytest.raises(RegistrationInvalidError, match="audience"):
        check_settings(SourceMetadata(format="signed-jwt"))


@pytest.mark.parametrize("name", ["clerk", "hanko", "workos"])
def test_where_no_id_token_is_known_to_have_a_session_s_id_the_source_must_say_so(name: str) -> None:
    said = {setting: SETTINGS[setting] for setting in FORMATS[name].required - {"sid_trust"}}

    with pytest.raises(RegistrationInvalidError, match="sid_trust is needed"):
        check_settings(SourceMetadata.model_validate({"format": name, **said}))
    for sid_trust in ("claim", "sha256", "none"):
        check_settings(SourceMetadata.model_validate({"format": name, "sid_trust": sid_trust, **said}))


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_secrets_or_refuses_them(name: str) -> None:
    with_secret = _metadata(name, secret=SECRETS.get(name, "a-static-secret-of-32-characters"))
    without = SourceMetadata(format=_metadata(name).format)

    row = FORMATS[name]
    if row.check_secret is None or row.secret_optional:
        assert checked_secrets(without) == []
    if row.check_secret is not None:
        assert checked_secrets(with_secret) == [SECRETS[name]]
    if not row.secret_optional:
        with pytest.raises(RegistrationInvalidError, match="secret"):
            checked_secrets(with_secret if row.check_secret is None else without)


@pytest.mark.parametrize(("name", "proof"), [("cognito", "AWS IAM"), ("auth0-eventbridge", "AWS IAM"), ("hanko", "JWKS")])
def test_who_gives_a_secret_where_none_is_read_is_told_what_proves_the_sender(name: str, proof: str) -> None:
    with pytest.raises(RegistrationInvalidError, match=f"secret is not for this format.*{proof}"):
        checked_secrets(_metadata(name, secret="a-static-secret-of-32-characters"))


def test_a_previous_secret_alone_is_refused_also_where_a_secret_is_optional() -> None:
    metadata = SourceMetadata.model_validate({"format": "security-event-token", "previous_secret": "24-visible-characters-!~"})

    with pytest.raises(RegistrationInvalidError, match="secret"):
        checked_secrets(metadata)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_refuses_an_unsigned_webhook(name: str) -> None:
    with pytest.raises(SignatureInvalidError):
        FORMATS[name].verify(Request(b"{}", {}), trust("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0)


VECTORS = {
    "authentik-mapping-user.sessions_ended": ("e0000000000040008000000000000006", "lGmOIBlQzpNFoRD/QRdEn+L7JMfOE+6Hy1YnutIdSd4="),
    "authentik-mapping-rp_session.started": ("e0000000000040008000000000000004", "dootdaGezxkDx8deyy0ivu7dptu3qW9V/u0qV5RNFp4="),
}
"""Samples by their exact octets: the id and the signature of Standard Webhooks, made by another implementation."""


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_authentiks_samples_verify(name: str) -> None:
    event_id, signature = VECTORS[name]
    headers = {"webhook-id": event_id, "webhook-timestamp": "1788249600", "webhook-signature": f"v1,{signature}"}
    request = Request((EVENTS / f"{name}.json").read_bytes(), headers)

    proven = FORMATS["standard-webhooks"].verify(request, trust("whsec_c3ludGhldGljLXNlY3JldC0yNGJ5dGVz"), 1_788_249_600_000)

    assert (proven.body, proven.event_id) == (request.body, event_id)


def test_the_vector_of_keycloaks_sample_verifies() -> None:
    signature = "fca6d979e5c74cbcc209c21d7bbf6a672ea18f3da8da2b95a9855b0c4d41845a"
    request = Request((EVENTS / "keycloak-p2inc-access.LOGOUT_ERROR.json").read_bytes(), {"x-keycloak-signature": signature})

    assert FORMATS["keycloak"].verify(request, trust("kc-example"), 0).body == request.body


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("secret", ["", "short", "7 chars", "whpk_"])
def test_every_format_refuses_a_secret_that_cannot_verify(name: str, secret: str) -> None:
    with pytest.raises(RegistrationInvalidError):
        checked_secrets(_metadata(name, secret=secret))


@pytest.mark.parametrize(
    "name", ["bearer", "keycloak", "okta", "auth0", "zitadel", "workos", "logto", "pingone", "security-event-token"]
)
def test_a_public_key_is_no_secret(name: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="public key"):
        checked_secrets(_metadata(name, secret="whpk_" + "A" * 43 + "="))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *(("keycloak", "kc-synthetic"), ("keycloak", "8 of it!")),
        ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("standard-webhooks", "whpk_" + "A" * 43 + "="),
        ("bearer", "24-visible-characters-!~"),
        *(
            ("okta", "24-visible-characters-!~"),
            ("okta", "Bearer 24-visible-characters-!~"),
            ("auth0", "Basic 24-or-more-characters==="),
        ),
    ],
)
def test_a_format_accepts_the_secrets_that_its_senders_use(name: str, secret: str) -> None:
    assert checked_secrets(_metadata(name, secret=secret)) == [secret]
