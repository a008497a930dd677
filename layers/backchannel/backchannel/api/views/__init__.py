"""The bodies of answers: what the operator is shown of what is stored. No view has a member for a secret.

One module for each resource; here is what all of them share.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from types import UnionType
from typing import Annotated, Any

from pydantic import BaseModel, Field

Timestamp = Annotated[datetime, Field(description="ISO 8601, UTC")]


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
