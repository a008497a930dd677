"""``/providers/{provider}/keys``."""

from collections import defaultdict
from dataclasses import replace
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.dependencies import now as milliseconds
from backchannel.api.parameters import Alg, Name
from backchannel.api.requests import KeyRotationRequest, OwnKeyMetadata
from backchannel.api.views import (
    ClientTrustView,
    KeysCheckView,
    KeysView,
    KeyTrustView,
    KeyView,
    optional_timestamp,
    responses,
    timestamp,
)
from backchannel.errors import ConflictError, EmergencyUnconfirmedError, NotFoundError, RegistrationInvalidError, shown
from backchannel.providers.key_trust import ProvidersKeys, read_as_a_relying_party_does
from backchannel.providers.table import Provider
from backchannel.providers.upstreams import LOOPBACK
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_ring import PUBLISHED, SigningKey
from backchannel.tokens.public_keys import public_jwk
from backchannel.tokens.rotation import replaced_by_own, until

router = APIGatewayRouter()

_NO_KEY = "no key signs its tokens; register the client again"
_ADVICE = {
    True: "a relying party that reads the provider's own JWKS accepts its tokens",
    False: "a relying party that reads the provider's own JWKS refuses its tokens: let it read the merged JWKS or discovery"
    " document of this service, add the key to the provider's JWKS, or use a KMS key of the provider's own (docs/keys.md)",
    None: "the provider's JWKS could not be read; failure says why",
}
"""By whether the key that signs a client's tokens is in the JWKS that the provider publishes."""


@router.get("/providers/<provider>/keys", summary="Show the key ring", responses=responses(KeysView, 200))
def get(provider: Name) -> KeysView:
    """Return each key with its state, since when, until when, and the clients whose tokens it signs."""
    return _shown(dependencies(router).providers.get(provider))


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
    return _shown(using.providers.get(provider)), HTTPStatus.ACCEPTED


@router.put("/providers/<provider>/keys/<alg>", summary="Use a KMS key of the provider's own", responses=responses(KeysView, 200))
def put_own(provider: Name, alg: Alg, metadata: OwnKeyMetadata) -> KeysView:
    """Sign with the provider's own key, which its JWKS has already: no relying party has to change anything.

    The key is tried first: it must sign, and be in the JWKS that the provider publishes. It is never rotated nor deleted here.
    """
    using = dependencies(router)
    found = using.providers.get(provider)
    if alg not in ALGORITHMS:
        raise RegistrationInvalidError(f"no key of KMS signs {shown(alg)}; known are {', '.join(ALGORITHMS)}")
    public_key = using.own_keys.public_key(metadata.kms_key_arn, alg)
    published, jwk = _published(found), public_jwk(public_key)
    kid = published.kid_of(jwk, alg)
    if kid is None:
        why = published.failure or "it has no such key"
        raise RegistrationInvalidError(
            f"relying parties would not find the key in the provider's JWKS ({published.jwks_uri}): {why}"
        )
    own = SigningKey(kid, alg, metadata.kms_key_arn, jwk=jwk, is_own=True)
    changed = using.providers.change(provider, lambda now: replace(now, keys=replaced_by_own(now.keys, own, milliseconds())))
    return _shown(changed)


@router.delete(
    "/providers/<provider>/keys/<alg>", summary="Stop using the provider's own key", responses=responses(KeysView, 202)
)
def delete_own(provider: Name, alg: Alg) -> tuple[KeysView, int]:
    """Publish a key of this service, which signs after its wait; until then, and a while after, the provider's own is served."""
    using = dependencies(router)
    if not any(key.alg == alg and key.is_own and key.state == "signing" for key in using.providers.get(provider).keys):
        raise NotFoundError.of("key of the provider's own for algorithm", alg)
    using.key_rotation.call(do="begin", provider=provider, algs=[alg])
    return _shown(using.providers.get(provider)), HTTPStatus.ACCEPTED


@router.get("/providers/<provider>/keys/check", summary="Are the keys trusted?", responses=responses(KeysCheckView, 200))
def check(provider: Name) -> KeysCheckView:
    """Read the provider's discovery document and JWKS as relying parties do, and say which of our keys they find there.

    A relying party that was given our keys in another way finds them all the same; nobody can see that from here.
    """
    found = dependencies(router).providers.get(provider)
    published, clients = _published(found), _clients(found)
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
    key = next((key for key in provider.keys if key.alg == alg and key.state == "signing"), None)
    is_found = None if key is None else published.has(key)
    advice = _NO_KEY if key is None else _ADVICE[is_found]
    return ClientTrustView(client_id=client_id, alg=alg, kid=None if key is None else key.kid, is_found=is_found, advice=advice)


def _published(provider: Provider) -> ProvidersKeys:
    using = dependencies(router)
    networks = LOOPBACK if using.permit_loopback and using.permit_private_networks else ()
    return read_as_a_relying_party_does(provider, using.documents.fetch, allowed_networks=networks)


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
        told = len(_clients(provider)[key.alg])
        has_next = any(each.alg == key.alg and each.state == "published" for each in provider.keys)
        successor = "the next key, which is published already" if has_next else "a new key"
        effect = (
            f"tokens for clients with {key.alg} ({told} of them) would be signed by {successor}; a relying party that has not"
            " read the keys again by then refuses them, and a logout that it refuses twice is not sent again by itself"
        )
    return f'the key would be withdrawn at once: {effect}. To do that, repeat the request with "emergency": true'


def _algs(provider: Provider, alg: str | None) -> list[str]:
    """Return the algorithms whose keys are to be followed by others."""
    ours = [key.alg for key in provider.keys if key.state == "signing" and not key.is_own]
    if alg is None:
        return ours
    if any(key.alg == alg and key.state == "signing" and key.is_own for key in provider.keys):
        raise ConflictError(f"the {alg} key is the provider's own, which this service does not rotate")
    if alg not in ours:
        raise NotFoundError.of("signing key of algorithm", alg)
    return [alg]


def _shown(provider: Provider) -> KeysView:
    using = dependencies(router)
    clients = _clients(provider)
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


def _clients(provider: Provider) -> defaultdict[str, list[str]]:
    """Return the ids of the provider's clients that are sent tokens of ours, by the algorithm of these."""
    found = defaultdict[str, list[str]](list)
    for client in dependencies(router).providers.all_clients(provider.provider):
        if client.own_tokens and client.backchannel_logout_uri is not None:
            found[client.id_token_signed_response_alg].append(client.client_id)
    return found
