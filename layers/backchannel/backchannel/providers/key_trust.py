"""Whether relying parties that read the provider's own JWKS would find our keys (Back-Channel Logout 1.0, section 2.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backchannel.errors import DocumentUnavailable
from backchannel.providers.table import Provider
from backchannel.tokens.documents import Document
from backchannel.tokens.jwks import are_same, may_sign
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.locations import Upstream
from backchannel.tokens.upstream import Read, read_jwk_set, read_metadata


@dataclass(frozen=True, slots=True)
class ProvidersKeys:
    """The keys that the provider publishes, and where; ``failure`` says why they are not known."""

    discovery: str | None
    jwks_uri: str | None
    keys: tuple[Mapping[str, Any], ...]
    failure: str | None

    def has(self, key: SigningKey) -> bool | None:
        """Whether a relying party that looks for the key by its ``kid`` finds it; None if nobody knows."""
        if self.failure is not None:
            return None
        return any(each.get("kid") == key.kid and may_sign(each, key.alg) and are_same(key.jwk, each) for each in self.keys)

    def kid_of(self, jwk: Mapping[str, Any], alg: str) -> str | None:
        """Return the ``kid`` under which the provider publishes a key for ``alg``, None if it does not."""
        kids = (each.get("kid") for each in self.keys if may_sign(each, alg) and are_same(jwk, each))
        return next((kid for kid in kids if isinstance(kid, str) and kid), None)


def read_as_a_relying_party_does(provider: Provider, read: Read, *, allowed_networks: tuple[str, ...]) -> ProvidersKeys:
    """Return the keys that the provider publishes: by its issuer's discovery document, or else by its ``upstream``.

    ``allowed_networks`` are for the discovery document of a provider without ``upstream``.
    """
    upstream = provider.upstream or Upstream(allowed_networks=allowed_networks)
    of_issuer = Upstream(
        f"{provider.issuer.removesuffix('/')}/.well-known/openid-configuration",
        None,
        upstream.allowed_networks,
        upstream.ca_bundle,
    )
    try:
        return _read(of_issuer, provider.issuer, read)
    except DocumentUnavailable as failure:
        if provider.upstream is None:
            return ProvidersKeys(of_issuer.discovery, None, (), str(failure))
    try:
        return _read(upstream, provider.issuer, read)
    except DocumentUnavailable as failure:
        return ProvidersKeys(upstream.discovery, upstream.jwks_uri, (), str(failure))


def _read(upstream: Upstream, issuer: str, read: Read) -> ProvidersKeys:
    metadata: Document | None = read_metadata(upstream, issuer, read)
    keys = read_jwk_set(upstream, metadata, read).content["keys"]
    jwks_uri = upstream.jwks_uri or (None if metadata is None else metadata.content["jwks_uri"])
    return ProvidersKeys(upstream.discovery, jwks_uri, tuple(keys), None)
