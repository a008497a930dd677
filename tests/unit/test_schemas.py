from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from backchannel.api import patches, requests
from backchannel.api.views.clients import ClientView, ClientWithCircuit
from backchannel.api.views.providers import ProviderView
from backchannel.api.views.sources import SourceView, SourceWithActivity
from backchannel.providers.clients import Client

COMPLETE: dict[type[BaseModel], dict[str, Any]] = {
    requests.ProviderMetadata: {"issuer": "https://idp.example"},
    requests.SourceMetadata: {"format": "keycloak", "secret": "kc-synthetic"},
    requests.ClientMetadata: {"backchannel_logout_uri": "https://wiki.example/logout"},
    requests.RpSessionStart: {"sub": "ada", "client_id": "wiki"},
    requests.LogoutRequest: {"sid": "sid-1"},
}
REQUESTS = requests._Request.__subclasses__()


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
        (requests.ProviderMetadata, {"issuer": None}),
        (requests.ProviderMetadata, {"issuer": "https://" + "a" * 512}),
        (requests.SourceMetadata, {"sid_trust": "sometimes"}),
        (requests.SourceMetadata, {"unmatched_sid": "ignore"}),
        (requests.SourceMetadata, {"require_iss": "sometimes"}),
        (requests.SourceMetadata, {"realm": ""}),
        (requests.SourceMetadata, {"realm": "r" * 256}),
        (requests.SourceMetadata, {"secret": "s" * 1025}),
        (requests.SourceMetadata, {"previous_secret": "s" * 1025}),
        (requests.ClientMetadata, {"exp": 121}),
        (requests.ClientMetadata, {"exp": 9}),
        (requests.ClientMetadata, {"typ": "jwt"}),
        (requests.ClientMetadata, {"subject": "none"}),
        (requests.ClientMetadata, {"backchannel_logout_uri": 7}),
        (requests.ClientMetadata, {"allowed_networks": "10.0.0.0/8"}),
        (requests.RpSessionStart, {"sub": ""}),
        (requests.RpSessionStart, {"client_id": "a" * 2049}),
        (requests.LogoutRequest, {"sid": ""}),
        (requests.LogoutRequest, {"reason": "a" * 101}),
    ],
)
def test_a_value_outside_its_bounds_is_refused(kind: type[BaseModel], change: dict[str, Any]) -> None:
    assert kind.model_validate(COMPLETE[kind])
    with pytest.raises(ValidationError, match=next(iter(change))):
        kind.model_validate(COMPLETE[kind] | change)


def test_a_client_that_says_nothing_is_registered_with_the_librarys_defaults() -> None:
    metadata = requests.ClientMetadata().model_dump(exclude={"client_id", "circuit"})
    defaults = Client("wiki")

    for name, value in metadata.items():
        default = getattr(defaults, name)
        assert value == (list(default) if isinstance(default, tuple) else default)


def test_a_client_is_shown_with_every_member_that_it_has() -> None:
    assert set(ClientView.model_fields) == {field.name for field in fields(Client)}


@pytest.mark.parametrize(
    ("put", "patch", "shown"),
    [
        (requests.ProviderMetadata, patches.ProviderPatch, ProviderView),
        (requests.SourceMetadata, patches.SourcePatch, SourceWithActivity),
        (requests.ClientMetadata, patches.ClientPatch, ClientWithCircuit),
    ],
)
def test_put_and_patch_take_every_member_that_get_shows_and_only_secrets_beside(
    put: type[BaseModel], patch: type[BaseModel], shown: type[BaseModel]
) -> None:
    taken = set(put.model_fields)

    assert taken - set(shown.model_fields) <= {"secret", "previous_secret"}
    assert set(shown.model_fields) <= taken
    assert set(patch.model_fields) == taken


def test_a_secret_does_not_show_in_a_representation() -> None:
    source = requests.SourceMetadata.model_validate({"format": "keycloak", "secret": "kc-synthetic"})

    assert "kc-synthetic" not in repr(source)
    assert "kc-synthetic" not in source.model_dump_json()


def test_no_answer_has_a_member_for_a_secret() -> None:
    assert not [name for name in SourceView.model_fields if "secret" in name]
