"""The checks of a provider's own URLs before they are stored."""

from dataclasses import replace

from backchannel.providers.trust import check_ca_bundle, check_networks
from backchannel.providers.uris import check_uri, leads_to_loopback, refuse
from backchannel.tokens.upstream import Upstream

LOOPBACK = ("127.0.0.0/8", "::1/128")


def register_upstream(upstream: Upstream, *, permit_private_networks: bool, permit_loopback: bool) -> Upstream:
    """Return the upstream if it may be stored.

    In a deployment that permits loopback, one that leads there need not list it.

    Raises:
        RegistrationInvalidError: it has no URL, or this deployment does not go there.

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
        check_uri(name, uri, networks)
    return upstream
