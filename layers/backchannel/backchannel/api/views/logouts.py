"""Logouts as they are shown."""

from typing import Annotated

from pydantic import BaseModel, Field

from backchannel.api.views import Timestamp
from backchannel.api.views.deliveries import LogoutDeliveryView


class LogoutAccepted(BaseModel):
    """The logout that carries it out."""

    logout_id: str


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
