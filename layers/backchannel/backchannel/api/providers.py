"""``/providers``."""

from dataclasses import asdict, replace
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, Limit, Name
from backchannel.api.patches import ProviderPatch, changed, refuse_changes
from backchannel.api.requests import ProviderMetadata, UpstreamMetadata
from backchannel.api.upstreams import checked_upstream
from backchannel.api.views import responses
from backchannel.api.views.providers import ProvidersView, ProviderView
from backchannel.errors import ConflictError, NotFoundError
from backchannel.providers.table import Provider
from backchannel.providers.uris import check_issuer
from backchannel.tokens.locations import Upstream

router = APIGatewayRouter()


@router.get("/providers", summary="List providers", responses=responses(ProvidersView, 200))
def list_providers(after: After = None, limit: Limit = 100) -> ProvidersView:
    """Return a page of the providers."""
    page = dependencies(router).providers.listed(sort_key(after, "providers", ""), limit)
    return ProvidersView(providers=[_shown(provider) for provider in page.items], next=cursor(page.cursor, "providers"))


@router.put("/providers/<provider>", summary="Configure a provider", responses=responses(ProviderView, 200, 201))
def put(provider: Name, metadata: ProviderMetadata) -> tuple[ProviderView, int]:
    """Create or replace a provider: what is left out returns to its default. It takes what GET shows.

    Its issuer cannot change: sessions are kept under it. Keys are made for its clients.
    """
    using = dependencies(router)
    issuer = check_issuer(metadata.issuer, permit_private_networks=using.permit_private_networks)
    refuse_changes(metadata, provider=provider)
    try:
        known = using.providers.get(provider)
    except NotFoundError:
        known = None
    base = known or Provider(provider, issuer, keys=())
    upstream = checked_upstream(metadata.upstream, base, using)
    if known is not None:
        return _shown(using.providers.change(provider, lambda found: _changed(found, metadata, upstream))), HTTPStatus.OK
    created = _changed(base, metadata, upstream)
    using.providers.create(created)
    return _shown(created), HTTPStatus.CREATED


@router.patch("/providers/<provider>", summary="Change a provider", responses=responses(ProviderView, 200))
def patch(provider: Name, changes: ProviderPatch) -> ProviderView:
    """Change what is given, and leave the rest as it is (RFC 7396): null returns a member to its default.

    The documents of `upstream` are fetched only if it changes.
    """
    using = dependencies(router)
    refuse_changes(changes, provider=provider)

    def patched(found: Provider) -> Provider:
        metadata = changed(ProviderMetadata, _shown(found), changes)
        check_issuer(metadata.issuer, permit_private_networks=using.permit_private_networks)
        stays = metadata.upstream == _shown(found).upstream
        return _changed(found, metadata, found.upstream if stays else checked_upstream(metadata.upstream, found, using))

    return _shown(using.providers.change(provider, patched))


@router.get("/providers/<provider>", summary="Show a provider", responses=responses(ProviderView, 200))
def get(provider: Name) -> ProviderView:
    """Return the provider."""
    return _shown(dependencies(router).providers.get(provider))


@router.delete("/providers/<provider>", summary="Remove a provider", responses=responses(None, 204))
def delete(provider: Name) -> tuple[None, int]:
    """Remove a provider that has neither sources nor clients any more. Its keys are deleted, too, after a month."""
    dependencies(router).providers.delete(provider)
    return None, HTTPStatus.NO_CONTENT


def _changed(found: Provider, metadata: ProviderMetadata, upstream: Upstream | None) -> Provider:
    """Return a provider as its metadata says.

    Raises:
        ConflictError: it would have another issuer.

    """
    if found.issuer != metadata.issuer:
        raise ConflictError("the issuer of a provider cannot change")
    settings = metadata.model_dump(exclude={"issuer", "provider", "upstream"})
    return replace(found, **settings, upstream=upstream)


def _shown(provider: Provider) -> ProviderView:
    return ProviderView(
        provider=provider.provider,
        issuer=provider.issuer,
        session_lifetime=provider.session_lifetime,
        key_rotation_days=provider.key_rotation_days,
        recipients=provider.recipients,
        upstream=None if provider.upstream is None else UpstreamMetadata(**asdict(provider.upstream)),
    )
