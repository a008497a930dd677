"""``/providers/{provider}/keys``: the key ring, shown and rotated."""

from collections import defaultdict
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.parameters import Name
from backchannel.api.requests import KeyRotationRequest
from backchannel.api.views import optional_timestamp, responses, timestamp
from backchannel.api.views.providers import KeysView, KeyView
from backchannel.errors import ConflictError, EmergencyUnconfirmedError, NotFoundError
from backchannel.providers.table import Provider
from backchannel.tokens.key_ring import PUBLISHED, SigningKey, signer
from backchannel.tokens.rotation import until

router = APIGatewayRouter()


@router.get("/providers/<provider>/keys", summary="Show the key ring", responses=responses(KeysView, 200))
def get(provider: Name) -> KeysView:
    """Return each key with its state, since when, until when, and the clients whose tokens it signs."""
    return keys_view(dependencies(router).providers.get(provider))


@router.post("/providers/<provider>/keys/rotation", summary="Rotate signing keys", responses=responses(KeysView, 202))
def rotate(provider: Name, request: KeyRotationRequest) -> tuple[KeysView, int]:
    """Let other keys follow those that sign. A key is published for a day before it signs, and for a day after.

    With ``kid`` and ``emergency``, that key is withdrawn at once. Its successor, unless one was published already, signs without
    a wait: relying parties refuse it until they read the keys again. A logout that they refuse twice is not sent again by itself.
    """
    using = dependencies(router)
    found = using.providers.get(provider)
    if request.kid is not None or request.emergency:
        kid = _suspect(found, request)
        using.key_rotation.call(do="withdraw", provider=provider, kid=kid)
    else:
        using.key_rotation.call(do="begin", provider=provider, algs=_algs(found, request.alg))
    return keys_view(using.providers.get(provider)), HTTPStatus.ACCEPTED


def _suspect(provider: Provider, request: KeyRotationRequest) -> str:
    key = next((key for key in provider.keys if key.kid == request.kid), None)
    if request.kid is None or request.alg is not None:
        raise EmergencyUnconfirmedError("an emergency names the key that is suspected by its kid, and no alg")
    if key is None:
        raise NotFoundError.of("key", request.kid)
    if not request.emergency and key.state in PUBLISHED:
        raise EmergencyUnconfirmedError(_cost(provider, key))
    return key.kid


def _cost(provider: Provider, key: SigningKey) -> str:
    """Say what it costs to withdraw a key."""
    if key.state != "signing":
        effect = "it signs no token now"
    else:
        told = len(clients_by_alg(provider)[key.alg])
        has_next = any(each.alg == key.alg and each.state == "published" for each in provider.keys)
        successor = "the next key, which is published already" if has_next else "a new key"
        effect = (
            f"tokens for clients with {key.alg} ({told} of them) would be signed by {successor}; a relying party that has not"
            " read the keys again by then refuses them, and a logout that it refuses twice is not sent again by itself"
        )
    return f'the key would be withdrawn at once: {effect}. To do that, repeat the request with "emergency": true'


def _algs(provider: Provider, alg: str | None) -> list[str]:
    """Return the algorithms whose keys are to be followed by others."""
    if alg is None:
        return [key.alg for key in provider.keys if key.state == "signing" and not key.is_own]
    key = signer(provider.keys, alg)
    if key is None:
        raise NotFoundError.of("signing key of algorithm", alg)
    if key.is_own:
        raise ConflictError(f"the {alg} key is the provider's own, which this service does not rotate")
    return [alg]


def keys_view(provider: Provider) -> KeysView:
    """Return the ring as the operator is shown it."""
    using = dependencies(router)
    clients = clients_by_alg(provider)
    return KeysView(
        keys=[
            KeyView(
                kid=key.kid,
                alg=key.alg,
                state=key.state,
                since=timestamp(key.since),
                until=optional_timestamp(until(key, using.periods, provider.key_rotation_days)),
                kms_key_arn=key.kms_key_arn,
                is_own=key.is_own,
                clients=clients[key.alg] if key.state == "signing" else [],
            )
            for key in provider.keys
        ]
    )


def clients_by_alg(provider: Provider) -> defaultdict[str, list[str]]:
    """Return the ids of the provider's clients that are sent tokens of ours, by the algorithm of these."""
    found = defaultdict[str, list[str]](list)
    for client in dependencies(router).providers.all_clients(provider.provider):
        if client.own_tokens and client.backchannel_logout_uri is not None:
            found[client.id_token_signed_response_alg].append(client.client_id)
    return found
