"""What a client's logout token is made of. Attempts and tests of a client come here, so that both make the same token."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backchannel.deliveries import logout_token
from backchannel.deliveries.addressing import Named
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.tokens.key_ring import SigningKey, signer, signing_key

if TYPE_CHECKING:
    from backchannel.deliveries.encryption import Encryption

type Seal = Callable[[str], str]
"""What is done to a signed token before it is sent: it is encrypted, or left as it is."""


@dataclass(frozen=True, slots=True)
class TokenParts:
    """The key that signs a token, its claims, and what seals it."""

    key: SigningKey
    claims: Mapping[str, Any]
    seal: Seal


def token_parts(
    provider: Provider,
    client: Client,
    named: Named,
    *,
    sub: str | None,
    sid: str | None,
    now: int,
    encryption: "Callable[[], Encryption]",
    current_provider: Callable[[str], Provider],
) -> TokenParts:
    """Return the parts of a token of this moment, ``now`` in milliseconds, for a ``sub`` as the client knows it.

    ``encryption`` is called for clients that want encrypted tokens alone.

    Raises:
        EncryptionKeyUnavailable: the client wants that, and has no key for it.
        SigningUnavailable: the provider has no key that signs the client's tokens.

    """
    seal = str if client.id_token_encrypted_response_alg is None else encryption().of(provider, client)
    claims = logout_token.claims(
        client,
        issuer=provider.issuer,
        sub=None if named is Named.SID else sub,
        sid=None if named is Named.SUB else sid,
        jti=str(uuid.uuid4()),
        now=now // 1000,
    )
    return TokenParts(_key(provider, client, current_provider), claims, seal)


def _key(provider: Provider, client: Client, current_provider: Callable[[str], Provider]) -> SigningKey:
    alg = client.id_token_signed_response_alg
    key = signer(provider.keys, alg)
    # Without one, it may have been made since the ring was read.
    return signing_key(current_provider(provider.provider).keys, alg) if key is None else key
