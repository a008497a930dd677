"""What relying parties read: a provider's own JWKS and discovery document, merged with ours."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit

from backchannel.errors import DiscoveryNotConfiguredError, DocumentUnavailable, KidClash
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger, metrics
from backchannel.tokens.documents import Accept, Document, Documents
from backchannel.tokens.jwks import jwk_set
from backchannel.tokens.locations import Location
from backchannel.tokens.provider_metadata import merged
from backchannel.tokens.upstream import read_jwk_set, read_metadata

_CACHE_CONTROL = "public, max-age=60, stale-if-error=1800"
"""Together less than KeyWaitSeconds can be: who uses a stale copy must know a key by the time that it signs."""


def cacheable(document: dict[str, Any], if_none_match: str | None) -> Response[str]:
    """Return a document as a response that may be kept for a minute, or 304 if the caller has it."""
    body = json.dumps(document, separators=(",", ":"))
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
    headers = {"Cache-Control": _CACHE_CONTROL, "ETag": etag}
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if etag in known or "*" in known:
        return Response(304, body="", headers=headers)
    return Response(200, "application/json", body, headers)


@dataclass(frozen=True, slots=True)
class Publisher:
    """Makes the documents that are published."""

    provider: Callable[[str], Provider]
    documents: Documents

    def jwks(self, name: str) -> dict[str, Any]:
        """Return the provider's keys and ours.

        Raises:
            NotFoundError: there is no such provider.
            DocumentUnavailable: the provider's keys are not to be had.
            KidClash: one of them has the ``kid`` of one of ours.

        """
        provider = self.provider(name)
        upstream = provider.upstream
        if upstream is None:
            return jwk_set(provider.keys)
        metadata = None if upstream.jwks_uri is not None else read_metadata(upstream, provider.issuer, self._read)
        theirs = read_jwk_set(upstream, metadata, self._read)
        try:
            return jwk_set(provider.keys, theirs.content["keys"])
        except KidClash:
            metrics.add_metric("KidClashes", MetricUnit.Count, 1)
            raise

    def openid_configuration(self, name: str, jwks_uri: str) -> dict[str, Any]:
        """Return the provider's discovery document with our ``jwks_uri``.

        Raises:
            NotFoundError: there is no such provider.
            DiscoveryNotConfiguredError: it is not known where the provider's document is.
            DocumentUnavailable: the provider's document is not to be had.

        """
        provider = self.provider(name)
        upstream = provider.upstream
        metadata = None if upstream is None else read_metadata(upstream, provider.issuer, self._read)
        if metadata is None:
            raise DiscoveryNotConfiguredError(
                "no discovery document: a valid one has members that only the provider knows; put its URL into upstream.discovery"
            )
        return merged(metadata.content, jwks_uri)

    def _read(self, location: Location, accept: Accept) -> Document:
        try:
            document = self.documents.get(location, accept)
        except DocumentUnavailable:
            metrics.add_metric("UpstreamStale", MetricUnit.Count, 1)
            raise
        if document.failure is not None:
            metrics.add_metric("UpstreamStale", MetricUnit.Count, 1)
            logger.warning("upstream.stale", uri=location.uri, failure=document.failure, fetched_at=document.fetched_at)
        return document
