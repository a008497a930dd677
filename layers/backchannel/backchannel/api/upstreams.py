"""``upstream`` in the body of ``PUT /providers/{provider}``: fetched once before it is stored."""

from collections.abc import Callable

from backchannel.api.dependencies import Dependencies
from backchannel.api.requests import UpstreamMetadata
from backchannel.errors import DocumentInvalid, DocumentUnavailable, KidClash, UpstreamInvalidError, UpstreamUnavailableError
from backchannel.providers.table import Provider
from backchannel.providers.upstreams import register_upstream
from backchannel.tokens.jwks import jwk_set
from backchannel.tokens.locations import Upstream
from backchannel.tokens.upstream import read_jwk_set, read_metadata


def checked_upstream(metadata: UpstreamMetadata | None, provider: Provider, using: Dependencies) -> Upstream | None:
    """Return the upstream of a provider as it may be stored.

    Raises:
        RegistrationInvalidError: this deployment does not go there, or it is this deployment.
        UpstreamUnavailableError: it does not answer.
        UpstreamInvalidError: what it answers is not valid, that of another issuer, or has the ``kid`` of one of our keys.

    """
    if metadata is None:
        return None
    members = {**metadata.model_dump(), "allowed_networks": tuple(metadata.allowed_networks)}
    upstream = register_upstream(
        provider.provider,
        Upstream(**members),
        permit_private_networks=using.permit_private_networks,
        permit_loopback=using.permit_loopback,
    )
    fetch = using.documents.fetch
    document = fetched("discovery document of upstream", lambda: read_metadata(upstream, provider.issuer, fetch))
    keys = fetched("JWKS of upstream", lambda: read_jwk_set(upstream, document, fetch)).content["keys"]
    try:
        jwk_set(provider.keys, keys)
    except KidClash as error:
        raise UpstreamInvalidError(f"the JWKS of upstream: {error}") from error
    return upstream


def fetched[T](name: str, read: Callable[[], T]) -> T:
    """Return a document that a request names, or the caller's error that says why it is not to be had.

    Raises:
        UpstreamUnavailableError: its server does not answer.
        UpstreamInvalidError: it is not valid.

    """
    try:
        return read()
    except DocumentInvalid as error:
        raise UpstreamInvalidError(f"the {name}: {error}") from error
    except DocumentUnavailable as error:
        raise UpstreamUnavailableError(f"the {name}: {error}") from error
