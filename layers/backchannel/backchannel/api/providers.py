"""``/providers/{provider}``."""

from dataclasses import asdict, replace
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.parameters import Name
from backchannel.api.requests import ProviderMetadata, UpstreamMetadata
from backchannel.api.upstreams import checked_upstream
from backchannel.api.views import ProviderView, responses
from backchannel.errors import ConflictError, NotFoundError
from backchannel.providers.table import Provider
from backchannel.providers.uris import check_issuer

router = APIGatewayRouter()


@router.put("/providers/<provider>", summary="Configure a provider", responses=responses(ProviderView, 200, 201))
def put(provider: Name, metadata: ProviderMetadata) -> tuple[ProviderView, int]:
    """Create or change a provider. Its issuer cannot change: sessions are kept under it. Keys are made for its clients."""
    using = dependencies(router)
    issuer = check_issuer(metadata.issuer, permit_private_networks=using.permit_private_networks)
    try:
        known = using.providers.get(provider)
    except NotFoundError:
        known = None
    base = known or Provider(provider, issuer, keys=())
    settings = {**metadata.model_dump(exclude={"issuer"}), "upstream": checked_upstream(metadata.upstream, base, using)}

    def changed(found: Provider) -> Provider:
        if found.issuer != issuer:
            raise ConflictError("the issuer of a provider cannot change")
        return replace(found, **settings)

    if known is not None:
        return _shown(using.providers.change(provider, changed)), HTTPStatus.OK
    created = changed(base)
    using.providers.create(created)
    return _shown(created), HTTPStatus.CREATED


@router.get("/providers/<provider>", summary="Show a provider", responses=responses(ProviderView, 200))
def get(provider: Name) -> ProviderView:
    """Return the provider."""
    return _shown(dependencies(router).providers.get(provider))


@router.delete("/providers/<provider>", summary="Remove a provider", responses=responses(None, 204))
def delete(provider: Name) -> tuple[None, int]:
    """Remove a provider that has neither sources nor clients any more. Its keys are deleted, too, after a month."""
    dependencies(router).providers.delete(provider)
    return None, HTTPStatus.NO_CONTENT


def _shown(provider: Provider) -> ProviderView:
    return ProviderView(
        provider=provider.provider,
        issuer=provider.issuer,
        session_lifetime=provider.session_lifetime,
        key_rotation_days=provider.key_rotation_days,
        recipients=provider.recipients,
        upstream=None if provider.upstream is None else UpstreamMetadata(**asdict(provider.upstream)),
    )
