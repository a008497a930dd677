"""The checks of a relying party's metadata before it is stored; `admin` alone needs them."""

from backchannel.providers.clients import Client
from backchannel.providers.encryption import check_encryption
from backchannel.providers.trust import check_ca_bundle, check_networks
from backchannel.providers.uris import check_uri, refuse
from backchannel.tokens.jws import ALGORITHMS


def register(client: Client, *, permit_private_networks: bool, permit_loopback: bool = False) -> Client:
    """Return the client as it may be stored. ``permit_loopback``: its ``allowed_networks`` may lead to the function itself.

    Raises:
        RegistrationInvalidError: the specification or this deployment does not permit its metadata.

    """
    _check_algorithm(client.id_token_signed_response_alg)
    if client.subject == "sub_only" and client.backchannel_logout_session_required:
        refuse("subject sub_only contradicts backchannel_logout_session_required")
    if client.id_token_encrypted_response_alg is not None and not client.own_tokens:
        refuse(
            "own_tokens false contradicts id_token_encrypted_response_alg: the provider's own tokens are passed on as they are"
        )
    if client.ca_bundle is not None:
        check_ca_bundle(client.ca_bundle)
    check_networks(client.allowed_networks, permit_private_networks=permit_private_networks, permit_loopback=permit_loopback)
    if client.backchannel_logout_uri is not None:
        parts = check_uri("backchannel_logout_uri", client.backchannel_logout_uri, client.allowed_networks)
        if parts.scheme == "http" and client.token_endpoint_auth_method == "none":
            refuse("backchannel_logout_uri of a public client must be https")  # section 2.2
    if client.jwks_uri is not None:
        check_uri("jwks_uri", client.jwks_uri, client.allowed_networks)
    return check_encryption(client)


def _check_algorithm(alg: str) -> None:
    if alg in ALGORITHMS:
        return
    known = ", ".join(ALGORITHMS)
    if alg == "none":
        refuse(f"id_token_signed_response_alg none: a logout token must be signed (Back-Channel Logout 1.0, 2.6); use {known}")
    if alg.startswith("HS"):
        refuse(
            "id_token_signed_response_alg HS256, HS384, HS512: these sign with the client's secret, which this service does not"
            f" have; use {known}"
        )
    refuse(f"id_token_signed_response_alg must be one of {known}")
