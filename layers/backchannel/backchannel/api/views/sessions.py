"""RP sessions as they are shown, and what became of reports of them."""

from typing import Annotated

from pydantic import BaseModel, Field

from backchannel.api.views import Timestamp


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
