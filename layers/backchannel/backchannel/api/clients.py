"""``/providers/{provider}/clients``."""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import Dependencies, dependencies, now, requester
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, EscapedClientId, Limit, Name, client_id_in_path
from backchannel.api.patches import ClientPatch, changed, refuse_changes
from backchannel.api.requests import ClientMetadata
from backchannel.api.views import optional_timestamp, responses
from backchannel.api.views.clients import CircuitView, ClientsView, ClientView, ClientWithCircuit, client_shown
from backchannel.aws.dynamodb import key
from backchannel.deliveries.waking import wake_up
from backchannel.errors import NotFoundError
from backchannel.providers.clients import Client, was_just_resumed, with_pauses
from backchannel.providers.registration import register
from backchannel.providers.table import Provider
from backchannel.reasons import Reason
from backchannel.tokens.key_ring import signer

router = APIGatewayRouter()


@router.put("/providers/<provider>/clients/<client_id>", summary="Register a relying party", responses=responses(ClientView, 200))
def put(provider: Name, client_id: EscapedClientId, metadata: ClientMetadata) -> ClientView:
    """Create or replace a client: what is left out returns to its default. It takes what GET shows.

    If the provider has no key yet that signs its tokens, one is made. A client with `own_tokens` false needs none.
    """
    using = dependencies(router)
    found, client_id = using.providers.get(provider), client_id_in_path(client_id)

    def replaced(known: Client | None) -> ClientMetadata:
        refuse_changes(metadata, **_read_only(client_id, known))
        return metadata

    return _store(found, client_id, replaced, says_paused="paused" in metadata.model_fields_set)


@router.patch("/providers/<provider>/clients/<client_id>", summary="Change a relying party", responses=responses(ClientView, 200))
def patch(provider: Name, client_id: EscapedClientId, changes: ClientPatch) -> ClientView:
    """Change what is given, and leave the rest as it is (RFC 7396): null returns a member to its default.

    A `typ` of null can only be `PUT`.
    """
    using = dependencies(router)
    found, client_id = using.providers.get(provider), client_id_in_path(client_id)

    def patched(known: Client | None) -> ClientMetadata:
        if known is None:
            raise NotFoundError.of("client", client_id)
        refuse_changes(changes, **_read_only(client_id, known))
        return changed(ClientMetadata, client_shown(known), changes)

    return _store(found, client_id, patched, says_paused="paused" in changes.model_fields_set)


@router.post(
    "/providers/<provider>/clients/<client_id>/pause",
    summary="Let a relying party's deliveries wait",
    responses=responses(ClientView, 200),
)
def pause(provider: Name, client_id: EscapedClientId) -> ClientView:
    """Pause the client. Within a minute nothing is sent to it any more; nothing is given up until it is resumed.

    Only tokens of the provider's that are passed on expire meanwhile.
    """
    return _set_paused(provider, client_id, paused=True)


@router.post(
    "/providers/<provider>/clients/<client_id>/resume",
    summary="Let a relying party's deliveries go on",
    responses=responses(ClientView, 200),
)
def resume(provider: Name, client_id: EscapedClientId) -> ClientView:
    """Resume the client. What waits is attempted within seconds, and from now on has the client's `give_up_after` anew."""
    return _set_paused(provider, client_id, paused=False)


@router.get(
    "/providers/<provider>/clients/<client_id>", summary="Show a relying party", responses=responses(ClientWithCircuit, 200)
)
def get(provider: Name, client_id: EscapedClientId) -> ClientWithCircuit:
    """Return the client."""
    using = dependencies(router)
    client = using.providers.get_client(provider, client_id_in_path(client_id))
    circuit = using.circuits.get(provider, client.client_id)
    shown = CircuitView(state=circuit.state, opened_at=optional_timestamp(circuit.opened_at))
    return ClientWithCircuit(**client_shown(client).model_dump(), circuit=shown)


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
    return ClientsView(clients=[client_shown(client) for client in page.items], next=cursor(page.cursor, listed))


def _store(
    provider: Provider, client_id: str, wanted: Callable[[Client | None], ClientMetadata], *, says_paused: bool
) -> ClientView:
    """Store a client as it is wanted in the place of what is known, and wake what waited for it to be resumed."""
    using, was_paused = dependencies(router), False

    def stored(known: Client | None) -> Client:
        nonlocal was_paused
        was_paused |= known is not None and known.paused
        client = _registered(client_id, wanted(known), using)
        _ensure_key(provider, client, using)
        return with_pauses(client, known, requester(router), now())

    client = using.providers.change_client(provider.provider, client_id, stored)
    if not client.paused and (was_paused or (says_paused and was_just_resumed(client, now()))):
        wake_up(using.delivery_queue, provider.provider, client_id, now())
    return client_shown(client)


def _set_paused(provider: str, client_id: str, *, paused: bool) -> ClientView:
    """Pause or resume a client, whatever else its registration would be refused for by now."""
    using = dependencies(router)
    using.providers.get(provider)
    client_id = client_id_in_path(client_id)

    def stored(known: Client | None) -> Client:
        if known is None:
            raise NotFoundError.of("client", client_id)
        return with_pauses(replace(known, paused=paused), known, requester(router), now())

    client = using.providers.change_client(provider, client_id, stored)
    if was_just_resumed(client, now()):
        wake_up(using.delivery_queue, provider, client_id, now())
    return client_shown(client)


def _registered(client_id: str, metadata: ClientMetadata, using: Dependencies) -> Client:
    """Return the client as it may be stored."""
    members = {name: value for name, value in metadata.model_dump().items() if name not in _READ_ONLY}
    members["allowed_networks"] = tuple(members["allowed_networks"])
    members["logout_reasons"] = tuple(reason for reason in Reason if reason in metadata.logout_reasons)
    return register(
        Client(client_id, **members),
        permit_private_networks=using.permit_private_networks,
        permit_loopback=using.permit_loopback,
    )


def _ensure_key(provider: Provider, client: Client, using: Dependencies) -> None:
    """Let a key be made that signs the client's tokens, if it needs one and there is none."""
    needs_key = client.own_tokens and client.backchannel_logout_uri is not None
    if needs_key and signer(provider.keys, client.id_token_signed_response_alg) is None:
        using.key_rotation.call(do="ensure", provider=provider.provider, alg=client.id_token_signed_response_alg)


def _read_only(client_id: str, known: Client | None) -> dict[str, Any]:
    """Return the members that only this service sets, as GET shows them."""
    shown = client_shown(known or Client(client_id))
    return {name: getattr(shown, name) for name in _READ_ONLY - {"circuit"}}


_READ_ONLY = {"client_id", "paused_by", "paused_at", "resumed_by", "resumed_at", "circuit"}
