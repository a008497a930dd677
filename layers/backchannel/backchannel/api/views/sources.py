"""Webhook senders as they are shown, what they have sent, and what a webhook would cause."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from backchannel.api.views import Timestamp
from backchannel.sessions.events import EventKind


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
