"""Where others publish their documents, and what is trusted on the way there."""

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """Where a document is, and what is trusted on the way there."""

    uri: str
    allowed_networks: tuple[str, ...] = ()
    ca_bundle: str | None = None

    @property
    def key(self) -> str:
        """The name of its copy. One that was fetched under a looser policy must not serve a stricter one."""
        return hashlib.sha256(json.dumps([self.uri, self.allowed_networks, self.ca_bundle]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a provider publishes its discovery document, its JWKS or both, and what is trusted on the way there.

    The JWKS is at ``jwks_uri``, or else where the discovery document says.
    """

    discovery: str | None = None
    jwks_uri: str | None = None
    allowed_networks: tuple[str, ...] = ()
    ca_bundle: str | None = None

    def location(self, uri: str) -> Location:
        """Return the location of one of the provider's documents."""
        return Location(uri, self.allowed_networks, self.ca_bundle)
