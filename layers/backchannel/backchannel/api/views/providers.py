"""Providers and their keys as they are shown."""

from typing import Annotated

from pydantic import BaseModel, Field

from backchannel.api.requests import ProviderMetadata
from backchannel.api.views import Timestamp
from backchannel.tokens.key_ring import KeyState


class ProviderView(ProviderMetadata):
    """An OpenID Provider."""

    provider: str


class ProvidersView(BaseModel):
    """A page of providers."""

    providers: list[ProviderView]
    next: str | None


class KeyView(BaseModel):
    """A signing key of a provider.

    ``published``: signs after ``until``. ``signing``: until a rotation, which begins at ``until`` if the provider has
    ``key_rotation_days``. ``retired``: published until then. ``withdrawn``, ``deleted``: not published; KMS deletes it ``until``.
    """

    kid: str
    alg: str
    state: KeyState
    since: Timestamp
    until: Timestamp | None
    kms_key_arn: str
    is_own: Annotated[bool, Field(description="the provider's own; this service neither rotates nor deletes it")]
    clients: Annotated[list[str], Field(description="the clients whose tokens it signs")]


class KeysView(BaseModel):
    """The key ring of a provider."""

    keys: list[KeyView]


class KeyTrustView(BaseModel):
    """A published key, and whether the provider publishes it, too; null if its JWKS could not be read."""

    kid: str
    alg: str
    state: KeyState
    is_found: bool | None


class ClientTrustView(BaseModel):
    """A client, and whether a relying party that reads the provider's own JWKS accepts its tokens."""

    client_id: str
    alg: str
    kid: Annotated[str | None, Field(description="the key that signs its tokens")]
    is_found: bool | None
    advice: str


class KeysCheckView(BaseModel):
    """What the provider publishes, read as relying parties do; ``failure``: why it could not be read."""

    discovery: str | None
    jwks_uri: str | None
    failure: str | None
    keys: list[KeyTrustView]
    clients: list[ClientTrustView]
