"""What the provider itself publishes: its discovery document and its JWKS."""

from collections.abc import Callable

from backchannel.errors import DocumentUnavailable
from backchannel.tokens import provider_metadata
from backchannel.tokens.documents import Accept, Document
from backchannel.tokens.jwks import check_jwk_set
from backchannel.tokens.locations import Location, Upstream

type Read = Callable[[Location, Accept], Document]
"""``Documents.get``, or ``Documents.fetch``."""


def read_metadata(upstream: Upstream, issuer: str, read: Read) -> Document | None:
    """Return the provider's discovery document, None if it is not known where that is.

    Raises:
        DocumentUnavailable: it was not to be had, or it is not a valid one of this issuer.

    """
    if upstream.discovery is None:
        return None
    accept = provider_metadata.checks(issuer, needs_jwks_uri=upstream.jwks_uri is None)
    return read(upstream.location(upstream.discovery), accept)


def read_jwk_set(upstream: Upstream, metadata: Document | None, read: Read) -> Document:
    """Return the provider's JWKS; ``metadata`` says where it is if the operator has not said that.

    Raises:
        DocumentUnavailable: it was not to be had, it is none, or nobody says where it is.

    """
    jwks_uri = upstream.jwks_uri
    if jwks_uri is None:
        if metadata is None:
            raise DocumentUnavailable("neither discovery nor jwks_uri is configured")
        jwks_uri = metadata.content["jwks_uri"]
    return read(upstream.location(jwks_uri), check_jwk_set)
