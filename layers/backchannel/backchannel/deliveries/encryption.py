"""How a client's tokens are encrypted: its key comes before the signature, so that nothing is signed that cannot be sent.

The first client that wants encrypted tokens has this module imported; whoever encrypts nothing does not wait for that.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from backchannel.egress.post import Egress
from backchannel.errors import DocumentUnavailable, EncryptionKeyUnavailable
from backchannel.tokens import jwe
from backchannel.tokens.documents import Accept, Document, Documents
from backchannel.tokens.encryption_keys import choose
from backchannel.tokens.fetched_documents import FetchedDocuments
from backchannel.tokens.locations import Location

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from backchannel.deliveries.slow_clients import SlowClients
    from backchannel.deliveries.token_parts import Seal
    from backchannel.providers.clients import Client
    from backchannel.providers.table import Provider

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

    @classmethod
    def with_copies_in(cls, dynamodb: DynamoDBClient, table_name: str, slow_clients: SlowClients) -> Encryption:
        """Return one that fetches keys itself, and shares them with all environments."""
        documents = Documents(Egress(deadline=FETCH_WITHIN).get, FetchedDocuments(dynamodb, table_name))
        return cls(documents, slow_clients)

    def of(self, provider: Provider, client: Client) -> Seal:
        """Return what encrypts the tokens of a client that wants that.

        Raises:
            EncryptionKeyUnavailable: there is no key, or more than one.

        """
        alg, enc = client.id_token_encrypted_response_alg, client.id_token_encrypted_response_enc
        if alg is None or enc is None:
            raise EncryptionKeyUnavailable("the client has no alg or no enc")
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
