"""``/providers/{provider}/keys/{alg}``: a KMS key of the provider's own."""

from dataclasses import replace
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.dependencies import now as milliseconds
from backchannel.api.key_check import published_keys
from backchannel.api.keys import keys_view
from backchannel.api.parameters import Alg, Name
from backchannel.api.requests import OwnKeyMetadata
from backchannel.api.views import responses
from backchannel.api.views.providers import KeysView
from backchannel.errors import ConflictError, NotFoundError, RegistrationInvalidError, shown
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_ring import PUBLISHED, SigningKey, signer
from backchannel.tokens.public_keys import public_jwk
from backchannel.tokens.rotation import Ring, replaced_by_own

router = APIGatewayRouter()


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
    published, jwk = published_keys(found), public_jwk(public_key)
    kid = published.kid_of(jwk, alg)
    if kid is None:
        why = published.failure or "it has no such key"
        raise RegistrationInvalidError(
            f"relying parties would not find the key in the provider's JWKS ({published.jwks_uri}): {why}"
        )
    own = SigningKey(kid, alg, metadata.kms_key_arn, jwk=jwk, is_own=True)
    return keys_view(using.providers.change(provider, lambda now: replace(now, keys=_with_own(now.keys, own))))


def _with_own(ring: Ring, own: SigningKey) -> Ring:
    """Refuse a key that the ring has already in another role: a JWK Set can say one alg for a kid (RFC 8725, section 3.1)."""
    for key in ring:
        is_same = own.kid == key.kid or own.kms_key_arn == key.kms_key_arn
        if is_same and key.state in PUBLISHED and (key.alg, key.is_own) != (own.alg, True):
            owner = "the provider's own" if key.is_own else "one that this service made"
            raise ConflictError(f"the key ring has the kid or the KMS key already: {shown(key.kid)} for {key.alg}, {owner}")
    return replaced_by_own(ring, own, milliseconds())


@router.delete(
    "/providers/<provider>/keys/<alg>", summary="Stop using the provider's own key", responses=responses(KeysView, 202)
)
def delete_own(provider: Name, alg: Alg) -> tuple[KeysView, int]:
    """Publish a key of this service, which signs after its wait; until then, and a while after, the provider's own is served."""
    using = dependencies(router)
    key = signer(using.providers.get(provider).keys, alg)
    if key is None or not key.is_own:
        raise NotFoundError.of("key of the provider's own for algorithm", alg)
    using.key_rotation.call(do="begin", provider=provider, algs=[alg])
    return keys_view(using.providers.get(provider)), HTTPStatus.ACCEPTED
