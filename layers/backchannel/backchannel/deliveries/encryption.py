"""How a client's tokens are encrypted: its key comes before the signature, so that nothing is signed that cannot be sent."""

import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from backchannel.deliveries.slow_clients import SlowClients
from backchannel.errors import DocumentUnavailable, EncryptionKeyUnavailable
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.tokens import jwe
from backchannel.tokens.documents import Accept, Document, Location
from backchannel.tokens.encryption_keys import choose

type Seal = Callable[[str], str]
"""What is done to a signed token before it is sent."""

MAX_RECIPIENTS = 1024

FETCH_WITHIN = 4.0
"""Seconds that a client's keys are waited for, at the most: there must be time left to sign a token and to POST it."""


class DocumentSource(Protocol):
    """What fetches the documents of others, and keeps them."""

    def get(self, location: Location, accept: Accept) -> Document:
        """Return a document that is accepted, or raise a DocumentUnavailable."""


def _recipients() -> Callable[[str, str, str], jwe.Recipient]:
    return functools.lru_cache(MAX_RECIPIENTS)(lambda alg, enc, key: jwe.recipient(alg, enc, json.loads(key)))


@dataclass(frozen=True, slots=True)
class Encryption:
    """Finds the keys of clients that want encrypted tokens; a key that has been shown to work is not tried again.

    A client whose keys take their time is a slow one.
    """

    documents: DocumentSource
    slow_clients: SlowClients
    recipients: Callable[[str, str, str], jwe.Recipient] = field(default_factory=_recipients)

    def of(self, provider: Provider, client: Client) -> Seal:
        """Return what encrypts a client's tokens, or leaves them as they are if that is what it registered.

        Raises:
            EncryptionKeyUnavailable: it wants them encrypted, and there is no key, or more than one.

        """
        alg, enc = client.id_token_encrypted_response_alg, client.id_token_encrypted_response_enc
        if alg is None:
            return str  # the token as it is
        if enc is None:
            raise EncryptionKeyUnavailable("the client has no id_token_encrypted_response_enc")
        jwks = self._fetched(provider, client) if client.jwks is None else client.jwks
        key = choose(jwks["keys"], alg)
        return functools.partial(jwe.encrypt, self.recipients(alg, enc, json.dumps(key, sort_keys=True)), provider.issuer)

    def _fetched(self, provider: Provider, client: Client) -> Mapping[str, Any]:
        if client.jwks_uri is None:
            raise EncryptionKeyUnavailable("the client has neither jwks nor jwks_uri")
        location = Location(client.jwks_uri, client.allowed_networks, client.ca_bundle)
        began = time.perf_counter()
        try:
            return self.documents.get(location, _is_jwk_set).content
        except DocumentUnavailable as failure:
            raise EncryptionKeyUnavailable(f"jwks_uri: {failure}") from failure
        finally:
            milliseconds = (time.perf_counter() - began) * 1000
            self.slow_clients.note(provider.provider, client.client_id, milliseconds, answered=False)


def _is_jwk_set(document: Mapping[str, Any]) -> None:
    """Accept a set whatever its keys are: what is wrong with them is to be seen at once, not when an older copy has expired."""
    if not isinstance(document.get("keys"), list):
        raise ValueError("not a JWK Set")  # noqa: TRY004 - for its reader, a wrong type is a wrong value
