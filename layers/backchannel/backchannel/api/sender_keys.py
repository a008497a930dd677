"""The keys of senders that sign tokens. The first such webhook has this module imported; no other waits for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backchannel.errors import DocumentUnavailable
from backchannel.tokens.documents import Document, Documents
from backchannel.tokens.jwks import check_jwk_set
from backchannel.tokens.jws_verification import unverified
from backchannel.tokens.locations import Location
from backchannel.tokens.upstream import Read, read_jwk_set, read_metadata

if TYPE_CHECKING:
    from backchannel.providers.sources import Source
    from backchannel.providers.table import Provider

PATIENCE = 3.0
"""Seconds for a JWKS; the sender waits, and for no more than a few seconds."""


@dataclass(frozen=True, slots=True)
class SenderKeys:
    """Verifies tokens by what their senders publish."""

    documents: Documents

    def verified(self, provider: Provider, source: Source, token: str) -> tuple[str | None, Mapping[str, Any]]:
        """Return ``typ`` and claims of a token that a key of the source's sender has signed.

        A key that is not in the copy may be a new one, so the JWKS is read anew, within limits.

        Raises:
            SignatureInvalidError: it is no token, or none of the keys has signed it.
            DocumentUnavailable: there is no copy of the JWKS.

        """
        jws = unverified(token)
        keys = jwk_set_of(provider, source, self.documents.get).content["keys"]
        if jws.names_unknown_key(keys):
            keys = jwk_set_of(provider, source, self.documents.renewed).content["keys"]
        jws.verify(keys)
        return jws.typ, jws.claims


def jwk_set_of(provider: Provider, source: Source, read: Read) -> Document:
    """Return the JWKS of a source's sender: its own, or that of the provider.

    Raises:
        DocumentUnavailable: it was not to be had, or nobody says where it is.

    """
    if source.jwks_uri is not None:
        return read(Location(source.jwks_uri, source.allowed_networks, source.ca_bundle), check_jwk_set)
    if provider.upstream is None:
        raise DocumentUnavailable("neither the source nor the provider says where the JWKS is")
    upstream = provider.upstream
    metadata = None if upstream.jwks_uri is not None else read_metadata(upstream, provider.issuer, read)
    return read_jwk_set(upstream, metadata, read)
