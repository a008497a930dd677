"""The bodies of answers: what the operator is shown of what is stored. No view has a member for a secret."""

from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from http import HTTPStatus
from types import UnionType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from backchannel.api.requests import ProviderMetadata
from backchannel.providers.clients import Client
from backchannel.sessions.events import EventKind
from backchannel.tokens.key_ring import KeyState

Timestamp = Annotated[datetime, Field(description="ISO 8601, UTC")]

_CLIENT_MEMBERS: dict[str, Any] = {field.name: (field.type, ...) for field in fields(Client)}
_ClientMembers: Any = create_model("_ClientMembers", **_CLIENT_MEMBERS)


class ProviderView(ProviderMetadata):
    """An OpenID Provider."""

    provider: str


class ProvidersView(BaseModel):
    """A page of providers."""

    providers: list[ProviderView]
    next: str | None


class KeyView(BaseModel):
    """A signing key of a provider.

    ``published``: signs after ``until``. ``signing``: until a rotation, which begins at ``until`` if the provider has
    ``key_rotation_days``. ``retired``: published until then. ``withdrawn``, ``deleted``: not published; KMS deletes it ``until``.
    """

    kid: str
    alg: str
    state: KeyState
    since: Timestamp
    until: Timestamp | None
    kms_key_arn: str
    is_own: Annotated[bool, Field(description="the provider's own; this service neither rotates nor deletes it")]
    clients: Annotated[list[str], Field(description="the clients whose tokens it signs")]


class KeysView(BaseModel):
    """The key ring of a provider."""

    keys: list[KeyView]


class KeyTrustView(BaseModel):
    """A published key, and whether the provider publishes it, too; null if its JWKS could not be read."""

    kid: str
    alg: str
    state: KeyState
    is_found: bool | None


class ClientTrustView(BaseModel):
    """A client, and whether a relying party that reads the provider's own JWKS accepts its tokens."""

    client_id: str
    alg: str
    kid: Annotated[str | None, Field(description="the key that signs its tokens")]
    is_found: bool | None
    advice: str


class KeysCheckView(BaseModel):
    """What the provider publishes, read as relying parties do; ``failure``: why it could not be read."""

    discovery: str | None
    jwks_uri: str | None
    failure: str | None
    keys: list[KeyTrustView]
    clients: list[ClientTrustView]


class SourceView(BaseModel):
    """One configured webhook sender; its secrets are never shown."""

    source: str
    format: str
    sid_trust: str
    unmatched_sid: str
    ends_sessions: Annotated[list[str] | None, Field(description="null if it is what the format says")]
    require_iss: bool
    algorithm: str | None
    realm: str | None
    audience: str | None
    token_issuer: str | None
    jwks_uri: str | None
    allowed_networks: list[str]
    ca_bundle: str | None
    pass_on: bool
    tolerate_missing_exp: bool
    max_lifetime: int | None
    tolerate_typ: bool
    email_is_sub: bool
    ends_at: str
    subject_issuers: list[str]
    widen_subjects: bool
    unnamed_session: Annotated[str | None, Field(description="null if it is what the format says")]
    verification_state: str | None
    expected_interval: int | None


class SourceCountsView(BaseModel):
    """How many events of a source were starts, ends or neither, and how many were refused."""

    started: int
    ended: int
    ignored: Annotated[int, Field(description="of no interest")]
    unmappable: Annotated[int, Field(description="of interest, but they name no session and no subject that could be used")]
    unmatched: Annotated[int, Field(description="those of the ends for which nobody was found")]
    refused: Annotated[int, Field(description="webhooks that were refused as a whole, and entries of batches")]


class LastEventView(BaseModel):
    """The latest event that was accepted, and when it came."""

    at: Timestamp
    kind: EventKind | Literal["unmappable", "ignored"]


class LastRefusalView(BaseModel):
    """The latest webhook, or entry of a batch, that was refused, and the code of the reason."""

    at: Timestamp
    code: str


class SourceActivityView(BaseModel):
    """What a source has sent ``since`` it was configured; it may lag."""

    since: Annotated[Timestamp | None, Field(description="null: nothing is counted before the source is configured again")]
    counts: SourceCountsView
    last_event: LastEventView | None
    last_refusal: LastRefusalView | None
    is_silent: Annotated[bool, Field(description="whether nothing was accepted for longer than expected_interval")]


class SourceWithActivity(SourceView):
    """One configured webhook sender, and what it has sent."""

    activity: SourceActivityView


class SourcesView(BaseModel):
    """A page of sources."""

    sources: list[SourceView]
    next: str | None


class SessionEventView(BaseModel):
    """What an event would cause; ``at`` is when it happened."""

    kind: EventKind
    at: Timestamp
    sub: str | None
    sid: str | None
    client_id: str | None
    client_sub: str | None
    expires_at: Timestamp | None
    reason: str | None
    unmatched_sub: Annotated[str | None, Field(description="all of its sessions are over if nobody is found by sid")]


class RefusedView(BaseModel):
    """An entry of a batch that is not valid."""

    index: int
    code: str


class PreviewView(BaseModel):
    """The session events that a payload would cause, how many would be ignored or unmappable, and which refused."""

    events: list[SessionEventView]
    ignored: int
    unmappable: int
    not_chosen: Annotated[
        list[str], Field(description="of the ignored ones, those that the source's ends_sessions does not have, by its words")
    ]
    refused: list[RefusedView]


class ClientView(_ClientMembers):  # type: ignore[misc] # made of the fields of Client
    """A registered relying party."""

    subject: str
    typ: str | None
    paused_by: Annotated[str | None, Field(description="the IAM principal who paused it")]
    paused_at: Timestamp | None
    resumed_by: Annotated[str | None, Field(description="the IAM principal who ended the last pause")]
    resumed_at: Annotated[Timestamp | None, Field(description="when the last pause ended: give_up_after counts from then")]


class CircuitView(BaseModel):
    """Whether a client is left alone because it keeps failing."""

    state: Literal["closed", "open", "half_open"]
    opened_at: Timestamp | None


class ClientWithCircuit(ClientView):
    """A registered relying party and its circuit."""

    circuit: CircuitView


class ClientsView(BaseModel):
    """A page of clients."""

    clients: list[ClientView]
    next: str | None


class EventsTaken(BaseModel):
    """How many starts were stored, and how many ends were queued because a start came after its end."""

    started: int
    ended: int


class ErrorView(BaseModel):
    """What is wrong, and in which member, if it is one."""

    at: str
    what: str


class RefusedLineView(BaseModel):
    """A line that was not stored; its number counts from 1. ``code`` is stable."""

    line: int
    code: str
    errors: list[ErrorView]


class LinesTaken(EventsTaken):
    """What became of the lines of a part: those that are not refused are stored."""

    refused: list[RefusedLineView]


class RpSessionView(BaseModel):
    """A relying party's session."""

    client_id: str
    sub: str
    sid: str | None
    client_sub: str | None
    started_at: Timestamp
    expires_at: Timestamp | None
    ended_at: Timestamp | None
    logout_id: Annotated[str | None, Field(description="the logout that took care of it")]


class RpSessionsView(BaseModel):
    """A page of RP sessions."""

    sessions: list[RpSessionView]
    next: str | None


class LogoutAccepted(BaseModel):
    """The logout that carries it out."""

    logout_id: str


class DeliveryView(BaseModel):
    """What became of one logout token."""

    logout_id: str
    client_id: str
    sid: str | None
    status: str
    attempts: int
    last_code: str | None
    last_status_code: int | None
    error: str | None
    error_description: str | None
    created_at: Timestamp
    updated_at: Timestamp
    next_attempt_at: Timestamp | None


class DeliveriesView(BaseModel):
    """A page of deliveries."""

    deliveries: list[DeliveryView]
    next: str | None


class PastAttemptView(BaseModel):
    """An attempt that was made, and when its POST began."""

    at: Timestamp
    code: str
    status_code: Annotated[int | None, Field(description="null without an answer")]
    post_ms: Annotated[int, Field(description="how long the POST took")]
    address: Annotated[str | None, Field(description="the one that was dialled; null if none was")]


class LogoutDeliveryView(DeliveryView):
    """What became of one logout token, attempt by attempt."""

    history: Annotated[
        list[PastAttemptView], Field(description="the last 20 attempts, the oldest first; those before a redelivery, too")
    ]
    requested_by: Annotated[str | None, Field(description="the IAM principal who has sent it again last; null if nobody has")]
    requested_at: Timestamp | None


class ListedLogoutView(BaseModel):
    """A logout, and who asked for it last: the ``source`` whose webhook it was, or an operator.

    ``fanned_out`` once every RP session has its delivery, ``matched`` how many RP sessions that were.
    """

    logout_id: str
    sid: str | None
    sub: str | None
    client_id: str | None
    reason: str | None
    note: Annotated[str | None, Field(description="the operator's own words")]
    source: str | None
    requested_by: Annotated[str | None, Field(description="the IAM principal who asked for it")]
    mass_logout_id: Annotated[str | None, Field(description="the mass logout that it is a part of")]
    ended_at: Timestamp
    fanned_out: bool
    matched: int | None


class LogoutsView(BaseModel):
    """A page of logouts."""

    logouts: list[ListedLogoutView]
    next: str | None


class LogoutView(ListedLogoutView):
    """A logout and a page of its deliveries.

    ``settled`` once all deliveries are final. ``counts`` says how many deliveries have which status; both come with the first
    page alone.
    """

    settled: bool | None
    counts: dict[str, int] | None
    deliveries: list[LogoutDeliveryView]
    next: str | None


class CountsView(BaseModel):
    """What came of deliveries. Those that gave way to a newer login, or that a client does not want, are not counted."""

    accepted: int
    failed: Annotated[int, Field(description="deliveries that were given up: rejected, blocked or undeliverable")]
    failed_by_code: dict[str, int]
    failed_attempts: Annotated[int, Field(description="attempts that were not accepted, whatever came of their deliveries")]
    failed_attempts_by_code: dict[str, int]
    p50_ms: Annotated[
        int | None, Field(description="from the end to the acceptance: half of those accepted were by then, give or take a tenth")
    ]
    p95_ms: Annotated[int | None, Field(description="the same for 95 of 100")]


class DayCountsView(CountsView):
    """What came of a client's deliveries on a day."""

    day: date


class ClientCountsView(CountsView):
    """What came of a client's deliveries."""

    client_id: str


class ClientDaysView(BaseModel):
    """What came of a client's deliveries from ``since`` to ``until``, which are UTC dates."""

    client_id: str
    since: date
    until: date
    total: CountsView
    days: list[DayCountsView]


class ProviderCountsView(BaseModel):
    """A page of clients, and what came of their deliveries from ``since`` to ``until``, which are UTC dates."""

    since: date
    until: date
    clients: list[ClientCountsView]
    next: str | None


class Redelivered(BaseModel):
    """How many deliveries were queued again, and how many were not, by the reason.

    While there is a ``next``, there may be more: ask again with it as ``after``.
    """

    queued: int
    skipped: dict[str, int]
    next: str | None


class ProblemView(BaseModel):
    """What is wrong (RFC 9457); ``code`` is stable."""

    type: str
    title: str
    status: int
    code: str
    detail: str


def timestamp(milliseconds: int) -> datetime:
    """Return milliseconds since the epoch as the API shows them."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def optional_timestamp(milliseconds: int | None) -> datetime | None:
    """Return a time that may not be known."""
    return None if milliseconds is None else timestamp(milliseconds)


def client_shown(client: Client) -> ClientView:
    """Return a client as the API shows it."""
    times = {name: optional_timestamp(getattr(client, name)) for name in ("paused_at", "resumed_at")}
    return ClientView(**{**asdict(client), **times})


def responses(view: type[BaseModel] | UnionType | None, *statuses: int) -> dict[int, Any]:
    """Return a route's answers for its description: each status with ``view`` as its body, and the problems of all routes."""
    body = {} if view is None else {"content": {"application/json": {"model": view}}}
    return {
        **{status: {"description": HTTPStatus(status).phrase, **body} for status in statuses},
        **problems(400, 403, 404, 409, 503),
    }


def problems(*statuses: int) -> dict[int, Any]:
    """Return answers that are problem documents."""
    problem = {"content": {"application/problem+json": {"model": ProblemView}}}
    return {status: {"description": HTTPStatus(status).phrase, **problem} for status in statuses}
