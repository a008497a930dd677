"""The checks of a provider's own URLs before they are stored."""

from dataclasses import replace

from backchannel.providers.trust import check_ca_bundle, check_networks
from backchannel.providers.uris import check_uri, leads_to_loopback, refuse
from backchannel.tokens.locations import Upstream

LOOPBACK = ("127.0.0.0/8", "::1/128")


def register_upstream(provider: str, upstream: Upstream, *, permit_private_networks: bool, permit_loopback: bool) -> Upstream:
    """Return the upstream of a provider if it may be stored.

    In a deployment that permits loopback, one that leads there need not list it.

    Raises:
        RegistrationInvalidError: it has no URL, this deployment does not go there, or it is this service's own document, which
            would keep whatever it has for ever.

    """
    named = {"upstream.discovery": upstream.discovery, "upstream.jwks_uri": upstream.jwks_uri}
    uris = {name: uri for name, uri in named.items() if uri is not None}
    if not uris:
        refuse("upstream must have discovery, jwks_uri or both")
    is_here = any(leads_to_loopback(name, uri) for name, uri in uris.items())
    if is_here and permit_private_networks and permit_loopback and not upstream.allowed_networks:
        upstream = replace(upstream, allowed_networks=LOOPBACK)
    networks = upstream.allowed_networks
    check_networks(networks, permit_private_networks=permit_private_networks, permit_loopback=permit_loopback)
    if upstream.ca_bundle is not None:
        check_ca_bundle(upstream.ca_bundle)
    for name, uri in uris.items():
        if check_uri(name, uri, networks).path.endswith(_own_documents(provider)):
            refuse(
                f"{name} must be where the provider itself publishes: this is a document of this service, which would read itself"
            )
    return upstream


def _own_documents(provider: str) -> tuple[str, str]:
    return f"/providers/{provider}/jwks.json", f"/providers/{provider}/.well-known/openid-configuration"
