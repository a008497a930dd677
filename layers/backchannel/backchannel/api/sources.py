"""``/providers/{provider}/sources``."""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import Dependencies, dependencies, now
from backchannel.api.logout_tokens import registered_clients
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, Limit, Name
from backchannel.api.patches import SourcePatch, changed, refuse_changes
from backchannel.api.requests import PreviewRequest, SourceMetadata
from backchannel.api.sender_keys import jwk_set_of
from backchannel.api.upstreams import fetched
from backchannel.api.views import optional_timestamp, responses, timestamp
from backchannel.api.views.sources import (
    LastEventView,
    LastRefusalView,
    PreviewView,
    RefusedView,
    SessionEventView,
    SourceActivityView,
    SourceCountsView,
    SourcesView,
    SourceView,
    SourceWithActivity,
)
from backchannel.api.webhooks import session_events
from backchannel.aws.dynamodb import key
from backchannel.errors import NotFoundError, RegistrationInvalidError
from backchannel.providers.source_activity import SourceActivity
from backchannel.providers.sources import Source, secret_name
from backchannel.providers.table import Provider
from backchannel.providers.upstreams import register_upstream
from backchannel.reasons import POLICIES
from backchannel.sessions.events import RpSessionStarted, SessionEvent, kind_of
from backchannel.tokens.locations import Upstream
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.keycloak_signatures import check_algorithm
from backchannel.webhooks.logout_tokens import LOGOUT_TOKEN, read
from backchannel.webhooks.request import Proven

router = APIGatewayRouter()


@router.put("/providers/<provider>/sources/<source>", summary="Configure a webhook sender", responses=responses(SourceView, 200))
def put(provider: Name, source: Name, metadata: SourceMetadata) -> SourceView:
    """Create or replace a source: what is left out returns to its default. It takes what GET shows. Its counts go on.

    Without `secret`, the stored secrets are kept if the format stays as it is. A replaced one may be accepted for another minute.
    """
    using = dependencies(router)
    found = using.providers.get(provider)
    refuse_changes(metadata, source=source)
    gives_secrets = not _SECRETS.isdisjoint(metadata.model_fields_set)

    def replaced(known: Source | None) -> Source:
        return _configured(found, source, metadata, known, using, gives_secrets=gives_secrets)

    return _stored(provider, source, replaced)


@router.patch("/providers/<provider>/sources/<source>", summary="Change a webhook sender", responses=responses(SourceView, 200))
def patch(provider: Name, source: Name, changes: SourcePatch) -> SourceView:
    """Change what is given, and leave the rest as it is (RFC 7396): null returns a member to its default.

    Who gives `secret` gives all secrets: the stored ones cannot be read here, so no `previous_secret` is kept beside it.
    """
    using = dependencies(router)
    found = using.providers.get(provider)
    refuse_changes(changes, source=source)
    gives_secrets = not _SECRETS.isdisjoint(changes.model_fields_set)

    def patched(known: Source | None) -> Source:
        if known is None:
            raise NotFoundError.of("source", source)
        metadata = changed(SourceMetadata, _shown(known), changes)
        if metadata.format != known.format:
            _check_said(metadata, changes.model_fields_set)  # what GET shows was said of another format
        return _configured(found, source, metadata, known, using, gives_secrets=gives_secrets, is_patch=True)

    return _stored(provider, source, patched)


@router.get("/providers/<provider>/sources", summary="List webhook senders", responses=responses(SourcesView, 200))
def list_sources(provider: Name, after: After = None, limit: Limit = 100) -> SourcesView:
    """Return a page of the provider's sources."""
    using = dependencies(router)
    using.providers.get(provider)
    listed = f"sources/{provider}"
    page = using.providers.sources_page(provider, sort_key(after, listed, key("SOURCE", "")), limit)
    return SourcesView(sources=[_shown(source) for source in page.items], next=cursor(page.cursor, listed))


@router.get(
    "/providers/<provider>/sources/<source>", summary="Show a webhook sender", responses=responses(SourceWithActivity, 200)
)
def get(provider: Name, source: Name) -> SourceWithActivity:
    """Return the source without its secrets, and what it has sent."""
    using = dependencies(router)
    found = using.providers.get_source(provider, source)
    activity = activity_shown(using.activities.get(provider, source), found.expected_interval, now())
    return SourceWithActivity(**_shown(found).model_dump(), activity=activity)


@router.delete("/providers/<provider>/sources/<source>", summary="Remove a webhook sender", responses=responses(None, 204))
def delete(provider: Name, source: Name) -> tuple[None, int]:
    """Remove the source, its secrets and its counts."""
    using = dependencies(router)
    with using.source_changes.alone(provider, source):
        found = using.providers.get_source(provider, source)
        if found.secret_name is not None:
            using.secrets.delete(found.secret_name)
        using.activities.delete(provider, source)
        using.providers.delete_source(provider, source)
    return None, HTTPStatus.NO_CONTENT


def _stored(provider: str, source: str, change: Callable[[Source | None], Source]) -> SourceView:
    """Store a source and its secrets, which nobody else changes meanwhile."""
    using = dependencies(router)
    with using.source_changes.alone(provider, source):
        return _shown(using.providers.change_source(provider, source, change))


def _shown(source: Source) -> SourceView:
    return SourceView(**{name: getattr(source, name) for name in SourceView.model_fields})


def activity_shown(activity: SourceActivity, expected_interval: int | None, now: int) -> SourceActivityView:
    """Return a source's activity as the API shows it."""
    event, refusal = activity.last_event, activity.last_refusal
    return SourceActivityView(
        since=optional_timestamp(activity.since),
        counts=SourceCountsView(**activity.counts),
        last_event=None if event is None else LastEventView.model_validate({"at": timestamp(event.at), "kind": event.what}),
        last_refusal=None if refusal is None else LastRefusalView(at=timestamp(refusal.at), code=refusal.what),
        is_silent=activity.is_silent(expected_interval, now),
    )


@router.post(
    "/providers/<provider>/sources/<source>/preview",
    summary="Show what a webhook would cause",
    responses=responses(PreviewView, 200),
)
def preview(provider: Name, source: Name, request: PreviewRequest) -> PreviewView:
    """Return the session events that a payload would cause if its sender proved itself. Nothing is stored, nobody is told."""
    using = dependencies(router)
    configured = using.providers.get_source(provider, source)
    is_signed_beside = FORMATS[configured.format].event_id_is_beside
    body = json.dumps(request.payload, ensure_ascii=False).encode()
    proven = Proven(body, request.event_id if is_signed_beside else None)
    found = using.providers.get(provider)
    parsed = session_events(proven, found, configured, using.providers.get_client, now())
    events = parsed.events
    if configured.format == LOGOUT_TOKEN and configured.audience is None and isinstance(request.payload, dict):
        claims = read(request.payload, found.issuer, now())
        clients = {each.client_id for each in registered_clients(using.providers.get_client, provider, claims)}
        events = tuple(event for event in events if event.client_id is None or event.client_id in clients)
    return PreviewView(
        events=[_event_shown(event) for event in events],
        ignored=parsed.ignored,
        unmappable=parsed.unmappable,
        not_chosen=[*parsed.not_chosen],
        refused=[RefusedView(**asdict(each)) for each in parsed.refused],
    )


def _event_shown(event: SessionEvent) -> SessionEventView:
    return SessionEventView.model_validate(
        {
            "kind": kind_of(event),
            "at": timestamp(event.started_at if isinstance(event, RpSessionStarted) else event.ended_at),
            "expires_at": optional_timestamp(getattr(event, "expires_at", None)),
            **{name: getattr(event, name, None) for name in ("sub", "sid", "client_id", "client_sub", "reason", "unmatched_sub")},
        }
    )


def check_settings(metadata: SourceMetadata) -> None:
    """Refuse a setting that the format does not read, since it would protect nobody, and the lack of one that it needs."""
    row = FORMATS[metadata.format]
    defaults = SourceMetadata(format=metadata.format)
    given = {name for name in _SETTINGS if getattr(metadata, name) != getattr(defaults, name)}
    for name in sorted(given - row.settings):
        raise RegistrationInvalidError(f"{name} is not for this format")
    _check_said(metadata, metadata.model_fields_set)
    check_algorithm(metadata.algorithm)
    if metadata.pass_on and metadata.audience is not None:
        raise RegistrationInvalidError("pass_on contradicts audience: a token of that client is no token for another one")


def _check_said(metadata: SourceMetadata, said: Collection[str]) -> None:
    """Check that what the format needs was said, be it the default."""
    for name in sorted(FORMATS[metadata.format].required):
        if name not in said or getattr(metadata, name) is None:
            raise RegistrationInvalidError(f"{name} is needed for this format")


def checked_secrets(metadata: SourceMetadata) -> list[str]:
    """Return the secrets, the current one first; none if the format has none.

    Raises:
        RegistrationInvalidError: one is missing, could never verify, or is not for this format.

    """
    row = FORMATS[metadata.format]
    check = row.check_secret
    values = [each.get_secret_value() for each in (metadata.secret, metadata.previous_secret) if each is not None]
    if check is None:
        if values:
            proof = "AWS IAM proves its senders" if row.by_iam else "the keys of a JWKS prove its senders"
            raise RegistrationInvalidError(f"secret is not for this format: {proof}")
        return []
    if metadata.secret is None and (values or not row.secret_optional):
        raise RegistrationInvalidError("secret is needed for this format")
    for value in values:
        check(value)
    return values


def _configured(
    provider: Provider,
    name: str,
    metadata: SourceMetadata,
    known: Source | None,
    using: Dependencies,
    *,
    gives_secrets: bool,
    is_patch: bool = False,
) -> Source:
    """Return the source as it may be stored in the place of what is known. Its secrets are stored.

    A patch that leaves alone where its sender's keys are does not depend on whether they are to be had now.
    """
    check_settings(metadata)
    keeps_secrets = known is not None and known.format == metadata.format and not gives_secrets
    values = [] if keeps_secrets else checked_secrets(metadata)
    secrets = secret_name(using.secret_prefix, provider.provider, name)
    members = metadata.model_dump(exclude={*_SECRETS, "source", "activity"})
    members["allowed_networks"] = tuple(metadata.allowed_networks)
    members["subject_issuers"] = tuple(metadata.subject_issuers)
    if metadata.ends_sessions is not None:
        members["ends_sessions"] = tuple(policy for policy in POLICIES if policy in metadata.ends_sessions)
    kept = known.secret_name if known is not None and keeps_secrets else None
    configured = Source(**{**members, "source": name, "secret_name": secrets if values else kept})
    if "jwks_uri" in FORMATS[metadata.format].settings and not (is_patch and _keys_stay(configured, known)):
        configured = _with_keys(provider, configured, using)
    if values:
        using.secrets.put(secrets, values)
    elif kept is None:
        using.secrets.delete(secrets)
    using.activities.begin(provider.provider, name, now())
    return configured


def _keys_stay(source: Source, known: Source | None) -> bool:
    """Whether the keys of a source's sender are where they were."""
    names = ("format", "jwks_uri", "allowed_networks", "ca_bundle")
    return all(getattr(source, name) == getattr(known, name, None) for name in names)


def _with_keys(provider: Provider, source: Source, using: Dependencies) -> Source:
    """Return the source as it may be stored, once the keys of its sender have been read."""
    if source.jwks_uri is None and provider.upstream is None:
        raise RegistrationInvalidError("jwks_uri is needed: the provider has no upstream that says where its keys are")
    if source.jwks_uri is not None:
        checked = register_upstream(
            provider.provider,
            Upstream(None, source.jwks_uri, tuple(source.allowed_networks), source.ca_bundle),
            permit_private_networks=using.permit_private_networks,
            permit_loopback=using.permit_loopback,
        )
        source = replace(source, allowed_networks=checked.allowed_networks)
    fetched("JWKS of the source", lambda: jwk_set_of(provider, source, using.documents.fetch))
    return source


_SECRETS = frozenset({"secret", "previous_secret"})

_SETTINGS = frozenset[str]().union(*(row.settings for row in FORMATS.values()))
"""What only some formats read."""
