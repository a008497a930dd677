"""``/providers/{provider}/clients``."""

from dataclasses import asdict
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, EscapedClientId, Limit, Name, client_id_in_path
from backchannel.api.requests import ClientMetadata
from backchannel.api.views import CircuitView, ClientsView, ClientView, ClientWithCircuit, optional_timestamp, responses
from backchannel.aws.dynamodb import key
from backchannel.providers.clients import Client
from backchannel.providers.registration import register
from backchannel.reasons import Reason
from backchannel.tokens.key_ring import signer

router = APIGatewayRouter()


@router.put("/providers/<provider>/clients/<client_id>", summary="Register a relying party", responses=responses(ClientView, 200))
def put(provider: Name, client_id: EscapedClientId, metadata: ClientMetadata) -> ClientView:
    """Create or replace a client. If the provider has no key yet that signs its tokens, one is made.

    One with ``own_tokens`` false needs none.
    """
    using = dependencies(router)
    ring = using.providers.get(provider).keys
    members = metadata.model_dump()
    members["allowed_networks"] = tuple(members["allowed_networks"])
    members["logout_reasons"] = tuple(reason for reason in Reason if reason in metadata.logout_reasons)
    client = register(
        Client(client_id_in_path(client_id), **members),
        permit_private_networks=using.permit_private_networks,
        permit_loopback=using.permit_loopback,
    )
    needs_key = client.own_tokens and client.backchannel_logout_uri is not None
    if needs_key and signer(ring, client.id_token_signed_response_alg) is None:
        using.key_rotation.call(do="ensure", provider=provider, alg=client.id_token_signed_response_alg)
    using.providers.put_client(provider, client)
    return ClientView(**asdict(client))


@router.get(
    "/providers/<provider>/clients/<client_id>", summary="Show a relying party", responses=responses(ClientWithCircuit, 200)
)
def get(provider: Name, client_id: EscapedClientId) -> ClientWithCircuit:
    """Return the client."""
    using = dependencies(router)
    client = using.providers.get_client(provider, client_id_in_path(client_id))
    circuit = using.circuits.get(provider, client.client_id)
    shown = CircuitView(state=circuit.state, opened_at=optional_timestamp(circuit.opened_at))
    return ClientWithCircuit(**asdict(client), circuit=shown)


@router.delete("/providers/<provider>/clients/<client_id>", summary="Remove a relying party", responses=responses(None, 204))
def delete(provider: Name, client_id: EscapedClientId) -> tuple[None, int]:
    """Remove the client. It may be sent tokens for another minute; what is pending then becomes undeliverable."""
    using = dependencies(router)
    client = using.providers.get_client(provider, client_id_in_path(client_id))
    using.providers.delete_client(provider, client.client_id)
    return None, HTTPStatus.NO_CONTENT


@router.get("/providers/<provider>/clients", summary="List relying parties", responses=responses(ClientsView, 200))
def list_clients(provider: Name, after: After = None, limit: Limit = 100) -> ClientsView:
    """Return a page of the provider's clients."""
    using = dependencies(router)
    using.providers.get(provider)
    listed = f"clients/{provider}"
    page = using.providers.clients(provider, sort_key(after, listed, key("CLIENT", "")), limit)
    return ClientsView(clients=[ClientView(**asdict(client)) for client in page.items], next=cursor(page.cursor, listed))
