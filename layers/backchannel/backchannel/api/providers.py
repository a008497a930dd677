"""``/providers/{provider}``."""

from dataclasses import asdict, replace
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies, now
from backchannel.api.parameters import Name
from backchannel.api.requests import ProviderMetadata, UpstreamMetadata
from backchannel.api.upstreams import checked_upstream
from backchannel.api.views import ProviderView, responses
from backchannel.errors import ConflictError, NotFoundError
from backchannel.providers.table import Provider
from backchannel.providers.uris import check_issuer
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.public_keys import public_jwk, thumbprint

router = APIGatewayRouter()


@router.put("/providers/<provider>", summary="Configure a provider", responses=responses(ProviderView, 200, 201))
def put(provider: Name, metadata: ProviderMetadata) -> tuple[ProviderView, int]:
    """Create a provider with the deployment's signing keys. Its issuer cannot change: sessions are kept under it."""
    using = dependencies(router)
    issuer = check_issuer(metadata.issuer, permit_private_networks=using.permit_private_networks)
    try:
        found = using.providers.get(provider)
    except NotFoundError:
        upstream = checked_upstream(metadata.upstream, issuer, using)
        halves = {alg: using.public_keys.get(arn) for alg, arn in using.signing_key_arns.items()}
        ring = tuple(
            SigningKey(thumbprint(half), alg, using.signing_key_arns[alg], since=now(), jwk=public_jwk(half))
            for alg, half in halves.items()
        )
        created = Provider(provider, issuer, ring, metadata.session_lifetime, upstream)
        using.providers.create(created)
        return _shown(created), HTTPStatus.CREATED
    if found.issuer != issuer:
        raise ConflictError("the issuer of a provider cannot change")
    upstream = checked_upstream(metadata.upstream, issuer, using)
    changed = replace(found, session_lifetime=metadata.session_lifetime, upstream=upstream)
    using.providers.update(changed)
    return _shown(changed), HTTPStatus.OK


@router.get("/providers/<provider>", summary="Show a provider", responses=responses(ProviderView, 200))
def get(provider: Name) -> ProviderView:
    """Return the provider."""
    return _shown(dependencies(router).providers.get(provider))


@router.delete("/providers/<provider>", summary="Remove a provider", responses=responses(None, 204))
def delete(provider: Name) -> tuple[None, int]:
    """Remove a provider that has neither sources nor clients any more."""
    dependencies(router).providers.delete(provider)
    return None, HTTPStatus.NO_CONTENT


def _shown(provider: Provider) -> ProviderView:
    keys = [{"kid": key.kid, "alg": key.alg, "state": key.state} for key in provider.keys]
    return ProviderView(
        provider=provider.provider,
        issuer=provider.issuer,
        session_lifetime=provider.session_lifetime,
        upstream=None if provider.upstream is None else UpstreamMetadata(**asdict(provider.upstream)),
        keys=keys,
    )
