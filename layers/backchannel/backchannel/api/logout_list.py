"""``GET /providers/{provider}/logouts``: who ordered what, the newest first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from pydantic import AwareDatetime

from backchannel.api.dependencies import dependencies, now
from backchannel.api.paging import cursor, position
from backchannel.api.parameters import After, Limit, Name
from backchannel.api.requests import milliseconds
from backchannel.api.views import responses, timestamp
from backchannel.api.views.logouts import ListedLogoutView, LogoutsView
from backchannel.errors import MalformedRequestError
from backchannel.logouts.listing import LogoutList, time_range
from backchannel.logouts.table import Logout
from backchannel.reasons import Reason

router = APIGatewayRouter()

MOST_READ = 1000
"""The most logouts that one request reads to find those that the filters want."""

LONGEST = 10_000
"""Milliseconds after which it reads no further ones. API Gateway waits for 29 s."""

PAGE = 100


@router.get("/providers/<provider>/logouts", summary="List logouts, the newest first", responses=responses(LogoutsView, 200))
def list_logouts(
    provider: Name,
    *,
    since: Annotated[AwareDatetime | None, Query(description="only those whose sessions ended then or later")] = None,
    until: Annotated[AwareDatetime | None, Query(description="only those whose sessions ended then or earlier")] = None,
    reason: Annotated[Reason | None, Query()] = None,
    requested_by: Annotated[
        str | None, Query(min_length=1, max_length=2048, description="only those that this IAM principal asked for")
    ] = None,
    after: After = None,
    limit: Limit = 100,
) -> LogoutsView:
    """Return a page of the logouts that a source or an operator has asked for; the list may lag behind by seconds.

    With ``reason`` or ``requested_by``, a page may be short or empty and have a ``next``: one request reads a limited number.
    Sessions that expired, and those of a mass logout, are not listed one by one, nor are logouts from before there was this list.
    """
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    first, last = 0 if since is None else milliseconds(since), now() if until is None else milliseconds(until)
    if not 0 <= first <= last:
        raise MalformedRequestError("since is before the epoch, or later than until or now")
    listed = f"logouts/{provider}/{since}/{until}/{reason}/{requested_by}"
    within = time_range(first, last)
    before = position(after, listed, str)
    if before is not None and not within[0] <= before <= within[1]:
        raise MalformedRequestError("after is not a cursor of this list")

    def is_wanted(logout: Logout) -> bool:
        return reason in {None, logout.reason or Reason.LOGOUT} and requested_by in {None, logout.requested_by}

    size = limit if reason is None and requested_by is None else PAGE
    found, place = _Search(using.logout_list, issuer, within, size, is_wanted).page(before, limit)
    return LogoutsView(logouts=[ListedLogoutView(**logout_members(each)) for each in found], next=cursor(place, listed))


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for the logouts that are wanted, ``size`` at a time."""

    listing: LogoutList
    issuer: str
    within: tuple[str, str]
    size: int
    is_wanted: Callable[[Logout], bool]

    def page(self, after: str | None, limit: int) -> tuple[list[Logout], str | None]:
        """Return wanted logouts, and the place after which to go on; None at the end of the list."""
        began, read = now(), 0
        found: list[Logout] = []
        while True:
            places = self.listing.newest(self.issuer, self.within, before=after, limit=self.size)
            logouts = self.listing.read(places)
            for place in places:
                if place in logouts and self.is_wanted(logouts[place]):
                    found.append(logouts[place])
                    if len(found) == limit:
                        return found, place
                after = place
            read += len(places)
            if len(places) < self.size:
                return found, None
            if read >= MOST_READ or now() - began > LONGEST:
                return found, after


def logout_members(logout: Logout) -> dict[str, Any]:
    """Return what the API shows of a logout wherever it shows one."""
    return {
        "logout_id": logout.logout_id,
        "sid": logout.sid,
        "sub": logout.sub,
        "client_id": logout.client_id,
        "reason": logout.reason,
        "note": logout.note,
        "source": logout.source,
        "requested_by": logout.requested_by,
        "mass_logout_id": logout.mass_logout,
        "ended_at": timestamp(logout.ended_at),
        "fanned_out": logout.fanned_out_at is not None,
        "matched": logout.matched,
    }
