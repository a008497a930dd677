"""``/providers/{provider}/sources/{source}``."""

from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.logout_token_sources import check_logout_token_settings
from backchannel.api.parameters import Name
from backchannel.api.requests import SourceMetadata
from backchannel.api.views import SourceView, responses
from backchannel.errors import RegistrationInvalidError
from backchannel.providers.sources import Source, secret_name
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.logout_tokens import LOGOUT_TOKEN

router = APIGatewayRouter()


@router.put("/providers/<provider>/sources/<source>", summary="Configure a webhook sender", responses=responses(SourceView, 200))
def put(provider: Name, source: Name, metadata: SourceMetadata) -> SourceView:
    """Create or replace a source. A replaced secret may go on being accepted for a minute."""
    using = dependencies(router)
    check_logout_token_settings(metadata, using.providers.get(provider))
    given = [metadata.secret, metadata.previous_secret]
    values = [secret.get_secret_value() for secret in given if secret is not None]
    name = secret_name(using.secret_prefix, provider, source)
    if metadata.format == LOGOUT_TOKEN:
        using.secrets.delete(name)  # of the source that had this name before
    else:
        check_settings(metadata)
        for value in values:
            FORMATS[metadata.format].check_secret(value)
        using.secrets.put(name, values)
    configured = Source(
        source,
        metadata.format,
        name,
        sid_trust=metadata.sid_trust,
        unmatched_sid=metadata.unmatched_sid,
        require_iss=metadata.require_iss,
        realm=metadata.realm,
        pass_on=metadata.pass_on,
        audience=metadata.audience,
        tolerate_missing_exp=metadata.tolerate_missing_exp,
        max_lifetime=metadata.max_lifetime,
    )
    using.providers.put_source(provider, configured)
    return _shown(configured)


@router.get("/providers/<provider>/sources/<source>", summary="Show a webhook sender", responses=responses(SourceView, 200))
def get(provider: Name, source: Name) -> SourceView:
    """Return the source without its secrets."""
    return _shown(dependencies(router).providers.get_source(provider, source))


@router.delete("/providers/<provider>/sources/<source>", summary="Remove a webhook sender", responses=responses(None, 204))
def delete(provider: Name, source: Name) -> tuple[None, int]:
    """Remove the source and its secrets."""
    using = dependencies(router)
    found = using.providers.get_source(provider, source)
    using.secrets.delete(found.secret_name)
    using.providers.delete_source(provider, source)
    return None, HTTPStatus.NO_CONTENT


def _shown(source: Source) -> SourceView:
    return SourceView(
        source=source.source,
        format=source.format,
        sid_trust=source.sid_trust,
        unmatched_sid=source.unmatched_sid,
        require_iss=source.require_iss,
        realm=source.realm,
        pass_on=source.pass_on,
        audience=source.audience,
        tolerate_missing_exp=source.tolerate_missing_exp,
        max_lifetime=source.max_lifetime,
    )


def check_settings(metadata: SourceMetadata) -> None:
    """Refuse a setting that the format does not read: it would protect nobody."""
    given = {name for name, is_given in (("require_iss", metadata.require_iss), ("realm", metadata.realm)) if is_given}
    for name in given - FORMATS[metadata.format].settings:
        raise RegistrationInvalidError(f"{name} is not for this format")
