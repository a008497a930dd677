"""``/providers/{provider}/keys/check``: whether relying parties find our keys where the provider publishes its own."""

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.keys import clients_by_alg
from backchannel.api.parameters import Name
from backchannel.api.views import responses
from backchannel.api.views.providers import ClientTrustView, KeysCheckView, KeyTrustView
from backchannel.providers.key_trust import ProvidersKeys, read_as_a_relying_party_does
from backchannel.providers.table import Provider
from backchannel.providers.upstreams import LOOPBACK
from backchannel.tokens.key_ring import PUBLISHED, signer

router = APIGatewayRouter()

_NO_KEY = "no key signs its tokens; register the client again"
_ADVICE = {
    True: "a relying party that reads the provider's own JWKS accepts its tokens",
    False: "a relying party that reads the provider's own JWKS refuses its tokens: let it read the merged JWKS or discovery"
    " document of this service, add the key to the provider's JWKS, or use a KMS key of the provider's own (docs/keys.md)",
    None: "the provider's JWKS could not be read; failure says why",
}
"""By whether the key that signs a client's tokens is in the JWKS that the provider publishes."""


@router.get("/providers/<provider>/keys/check", summary="Are the keys trusted?", responses=responses(KeysCheckView, 200))
def check(provider: Name) -> KeysCheckView:
    """Read the provider's discovery document and JWKS as relying parties do, and say which of our keys they find there.

    A relying party that was given our keys in another way finds them all the same; nobody can see that from here.
    """
    found = dependencies(router).providers.get(provider)
    published, clients = published_keys(found), clients_by_alg(found)
    return KeysCheckView(
        discovery=published.discovery,
        jwks_uri=published.jwks_uri,
        failure=published.failure,
        keys=[
            KeyTrustView(kid=key.kid, alg=key.alg, state=key.state, is_found=published.has(key))
            for key in found.keys
            if key.state in PUBLISHED
        ],
        clients=[
            _trust(client_id, alg, found, published) for alg, client_ids in sorted(clients.items()) for client_id in client_ids
        ],
    )


def _trust(client_id: str, alg: str, provider: Provider, published: ProvidersKeys) -> ClientTrustView:
    key = signer(provider.keys, alg)
    is_found = None if key is None else published.has(key)
    advice = _NO_KEY if key is None else _ADVICE[is_found]
    return ClientTrustView(client_id=client_id, alg=alg, kid=None if key is None else key.kid, is_found=is_found, advice=advice)


def published_keys(provider: Provider) -> ProvidersKeys:
    """Return the keys that the provider itself publishes, as they are now."""
    using = dependencies(router)
    if not using.permit_private_networks:  # what is stored may be from a time when they were
        provider = provider.in_public_networks()
    networks = LOOPBACK if using.permit_loopback and using.permit_private_networks else ()
    return read_as_a_relying_party_does(provider, using.documents.fetch, allowed_networks=networks)
