"""Deliveries as they are shown."""

from typing import Annotated

from pydantic import BaseModel, Field

from backchannel.api.views import Timestamp


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


class Redelivered(BaseModel):
    """How many deliveries were queued again, and how many were not, by the reason.

    While there is a ``next``, there may be more: ask again with it as ``after``.
    """

    queued: int
    skipped: dict[str, int]
    next: str | None
