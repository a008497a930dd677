"""``upstream`` in the body of ``PUT /providers/{provider}``: fetched once before it is stored."""

from collections.abc import Callable

from backchannel.api.dependencies import Dependencies
from backchannel.api.requests import UpstreamMetadata
from backchannel.errors import DocumentInvalid, DocumentUnavailable, UpstreamInvalidError, UpstreamUnavailableError
from backchannel.providers.upstreams import register_upstream
from backchannel.tokens.upstream import Upstream, read_jwk_set, read_metadata


def checked_upstream(metadata: UpstreamMetadata | None, issuer: str, using: Dependencies) -> Upstream | None:
    """Return the upstream as it may be stored.

    Raises:
        RegistrationInvalidError: this deployment does not go there.
        UpstreamUnavailableError: it does not answer.
        UpstreamInvalidError: what it answers is not valid, or that of another issuer.

    """
    if metadata is None:
        return None
    members = {**metadata.model_dump(), "allowed_networks": tuple(metadata.allowed_networks)}
    upstream = register_upstream(
        Upstream(**members), permit_private_networks=using.permit_private_networks, permit_loopback=using.permit_loopback
    )
    fetch = using.documents.fetch
    document = fetched("discovery document of upstream", lambda: read_metadata(upstream, issuer, fetch))
    fetched("JWKS of upstream", lambda: read_jwk_set(upstream, document, fetch))
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
