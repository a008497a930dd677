"""The shapes of requests and answers. Members that are not described here are refused: a misspelt one must not pass for set."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from backchannel.providers.clients import DEADLINE, DEADLINE_MAX
from backchannel.providers.table import NAME
from backchannel.sessions.events import MAX_IDENTIFIER, identifier

MAX_SECRET = 1024
"""Characters of a webhook secret; two of them, escaped as JSON, fit into a secret of Secrets Manager."""

Name = Annotated[str, Path(pattern=f"^{NAME}$")]
PathIdentifier = Annotated[str, Path(min_length=1, max_length=MAX_IDENTIFIER)]
QueryIdentifier = Annotated[str | None, Query(min_length=1, max_length=MAX_IDENTIFIER)]
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER)]
After = Annotated[str | None, Query(description="the next of the page before")]
Limit = Annotated[int, Query(ge=1, le=100)]
Timestamp = Annotated[datetime, Field(description="ISO 8601, UTC")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProviderMetadata(_Request):
    """An OpenID Provider."""

    issuer: Annotated[str, Field(max_length=512, description="exactly as in the provider's ID tokens")]
    session_lifetime: Annotated[
        int | None, Field(ge=60, le=31_536_000, description="seconds after which sessions end by themselves")
    ] = None


class Provider(ProviderMetadata):
    """An OpenID Provider with the ids of its keys."""

    provider: str
    keys: list[dict[str, str]]


class SourceMetadata(_Request):
    """One configured webhook sender."""

    format: Literal["standard-webhooks", "keycloak"]
    secret: Annotated[SecretStr, Field(max_length=MAX_SECRET)]
    previous_secret: Annotated[
        SecretStr | None, Field(max_length=MAX_SECRET, description="still accepted while the sender changes over")
    ] = None
    sid_trust: Annotated[
        Literal["claim", "sha256", "none"], Field(description="whether session ids are the sid of ID tokens")
    ] = "claim"


class Source(BaseModel):
    """One configured webhook sender; its secrets are never shown."""

    source: str
    format: str
    sid_trust: str


class ClientMetadata(_Request):
    """A relying party under the names of Dynamic Client Registration."""

    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    id_token_signed_response_alg: str = "RS256"
    id_token_encrypted_response_alg: str | None = None
    id_token_encrypted_response_enc: str | None = None
    token_endpoint_auth_method: Annotated[str, Field(max_length=64)] = "client_secret_basic"
    subject: Annotated[Literal["both", "sid_only", "sub_only"], Field(description="which of sub and sid its tokens carry")] = (
        "both"
    )
    typ: Annotated[Literal["logout+jwt", "JWT"] | None, Field(description="null for no typ at all")] = "logout+jwt"
    exp: Annotated[int, Field(ge=10, le=120, description="seconds that a token lives")] = 120
    allowed_networks: Annotated[list[str], Field(description="private networks its URI may lead into")] = []
    ca_bundle: Annotated[str | None, Field(description="PEM certificates of a private PKI")] = None
    give_up_after: Annotated[int, Field(ge=60, le=DEADLINE_MAX, description="seconds that its deliveries are tried")] = DEADLINE
    paused: Annotated[bool, Field(description="its deliveries wait; those that wait too long become undeliverable")] = False
    logout_on_expiry: Annotated[bool, Field(description="whether it wants to hear of sessions that ended by themselves")] = False


class Client(BaseModel):
    """A registered relying party."""

    client_id: str
    backchannel_logout_uri: str | None
    backchannel_logout_session_required: bool
    id_token_signed_response_alg: str
    token_endpoint_auth_method: str
    subject: str
    typ: str | None
    exp: int
    allowed_networks: list[str]
    ca_bundle: str | None
    give_up_after: int
    paused: bool
    logout_on_expiry: bool


class Circuit(BaseModel):
    """Whether a client is left alone because it keeps failing."""

    state: Literal["closed", "open", "half_open"]
    opened_at: Timestamp | None


class ClientWithCircuit(Client):
    """A registered relying party and its circuit."""

    circuit: Circuit


class Clients(BaseModel):
    """A page of clients."""

    clients: list[Client]
    next: str | None


class RpSessionStart(_Request):
    """An RP session started."""

    sub: Identifier
    client_id: Identifier
    sid: Identifier | None = None
    client_sub: Annotated[Identifier | None, Field(description="the subject as this client knows it")] = None
    started_at: Annotated[datetime | None, Field(description="now, if left out")] = None
    expires_at: Annotated[datetime | None, Field(description="when the session ends by itself")] = None


class EventsTaken(BaseModel):
    """How many starts were stored, and how many ends were queued because a start came after its end."""

    started: int
    ended: int


class RpSession(BaseModel):
    """A relying party's session."""

    client_id: str
    sub: str
    sid: str | None
    client_sub: str | None
    started_at: Timestamp
    expires_at: Timestamp | None
    ended_at: Timestamp | None
    logout_id: Annotated[str | None, Field(description="the logout that took care of it")]


class RpSessions(BaseModel):
    """A page of RP sessions."""

    sessions: list[RpSession]
    next: str | None


class LogoutRequest(_Request):
    """What ended: one session (``sid``) or all sessions of a subject (``sub``), with ``client_id`` at one client only."""

    sid: Identifier | None = None
    sub: Identifier | None = None
    client_id: Identifier | None = None
    reason: Annotated[str | None, Field(max_length=100)] = None


class LogoutAccepted(BaseModel):
    """The logout that carries it out."""

    logout_id: str


class Delivery(BaseModel):
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


class Deliveries(BaseModel):
    """A page of deliveries."""

    deliveries: list[Delivery]
    next: str | None


class Logout(Deliveries):
    """A logout and a page of its deliveries; ``complete`` once every RP of the session has one."""

    logout_id: str
    sid: str | None
    sub: str | None
    client_id: str | None
    reason: str | None
    ended_at: Timestamp
    complete: bool


class RedeliveryRequest(_Request):
    """Which of a client's deliveries to send again: those that came to their status in this time."""

    since: datetime
    until: Annotated[datetime | None, Field(description="now, if left out or later")] = None


class Redelivered(BaseModel):
    """How many deliveries were queued again. While there is a ``next``, there may be more: ask again with it as ``after``."""

    queued: int
    next: str | None


def client_id_in_path(escaped: str) -> str:
    """Return a ``client_id``, which may hold what a path has to escape.

    Raises:
        IdentifierInvalidError: no client can have it.

    """
    return identifier("client_id", unquote(escaped))


def timestamp(milliseconds: int) -> datetime:
    """Return milliseconds since the epoch as the API shows them."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def milliseconds(time: datetime) -> int:
    """Return a time of the API in milliseconds since the epoch; without a zone it is in UTC."""
    return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)


def optional_timestamp(milliseconds: int | None) -> datetime | None:
    """Return a time that may not be known."""
    return None if milliseconds is None else timestamp(milliseconds)


class Problem(BaseModel):
    """What is wrong (RFC 9457); ``code`` is stable."""

    type: str
    title: str
    status: int
    code: str
    detail: str


def answers(model: type[BaseModel] | None, *statuses: int) -> dict[int, Any]:
    """Return a route's answers for its description: each status with ``model`` as its body, and the problems that all have."""
    body = {} if model is None else {"content": {"application/json": {"model": model}}}
    problem = {"content": {"application/problem+json": {"model": Problem}}}
    return {
        **{status: {"description": HTTPStatus(status).phrase, **body} for status in statuses},
        **{status: {"description": HTTPStatus(status).phrase, **problem} for status in (400, 403, 404, 409, 503)},
    }
