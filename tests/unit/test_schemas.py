from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from backchannel.api import schemas
from backchannel.providers import clients

COMPLETE: dict[type[BaseModel], dict[str, Any]] = {
    schemas.ProviderMetadata: {"issuer": "https://idp.example"},
    schemas.SourceMetadata: {"format": "keycloak", "secret": "kc-synthetic"},
    schemas.ClientMetadata: {"backchannel_logout_uri": "https://wiki.example/logout"},
    schemas.RpSessionStart: {"sub": "ada", "client_id": "wiki"},
    schemas.LogoutRequest: {"sid": "sid-1"},
}
REQUESTS = [kind for kind in schemas._Request.__subclasses__() if kind is not schemas.Provider]


def _name(kind: type[BaseModel]) -> str:
    return kind.__name__


@pytest.mark.parametrize("kind", REQUESTS, ids=_name)
def test_a_member_that_is_not_described_is_refused(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"misspelt": True})

    assert ("extra_forbidden", ("misspelt",)) in [(error["type"], error["loc"]) for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (schemas.ProviderMetadata, {"issuer": None}),
        (schemas.ProviderMetadata, {"issuer": "https://" + "a" * 512}),
        (schemas.SourceMetadata, {"sid_trust": "sometimes"}),
        (schemas.SourceMetadata, {"secret": "s" * 1025}),
        (schemas.SourceMetadata, {"previous_secret": "s" * 1025}),
        (schemas.ClientMetadata, {"exp": 121}),
        (schemas.ClientMetadata, {"exp": 9}),
        (schemas.ClientMetadata, {"typ": "jwt"}),
        (schemas.ClientMetadata, {"subject": "none"}),
        (schemas.ClientMetadata, {"backchannel_logout_uri": 7}),
        (schemas.ClientMetadata, {"allowed_networks": "10.0.0.0/8"}),
        (schemas.RpSessionStart, {"sub": ""}),
        (schemas.RpSessionStart, {"client_id": "a" * 256}),
        (schemas.LogoutRequest, {"sid": ""}),
        (schemas.LogoutRequest, {"reason": "a" * 101}),
    ],
)
def test_a_value_outside_its_bounds_is_refused(kind: type[BaseModel], change: dict[str, Any]) -> None:
    assert kind.model_validate(COMPLETE[kind])
    with pytest.raises(ValidationError, match=next(iter(change))):
        kind.model_validate(COMPLETE[kind] | change)


def test_a_client_that_says_nothing_is_registered_with_the_librarys_defaults() -> None:
    metadata = schemas.ClientMetadata().model_dump()
    defaults = clients.Client("wiki")

    for name, value in metadata.items():
        if not name.startswith("id_token_encrypted"):
            assert value == (list(defaults.allowed_networks) if name == "allowed_networks" else getattr(defaults, name))


def test_a_secret_does_not_show_in_a_representation() -> None:
    source = schemas.SourceMetadata.model_validate({"format": "keycloak", "secret": "kc-synthetic"})

    assert "kc-synthetic" not in repr(source)
    assert "kc-synthetic" not in source.model_dump_json()


def test_no_answer_has_a_member_for_a_secret() -> None:
    assert not [name for name in schemas.Source.model_fields if "secret" in name]
