"""``/providers/{provider}/deliveries``: what became of a client's logout tokens."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from pydantic import AwareDatetime

from backchannel.api.dependencies import dependencies
from backchannel.api.paging import cursor, index_key, position
from backchannel.api.parameters import After, Limit, Name
from backchannel.api.requests import milliseconds
from backchannel.api.views import optional_timestamp, responses, timestamp
from backchannel.api.views.deliveries import DeliveriesView, DeliveryView
from backchannel.deliveries.client_walk import Place, walk
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import FOREVER, DeliveryRecord, status_range
from backchannel.deliveries.table import Deliveries
from backchannel.errors import MalformedRequestError
from backchannel.sessions.events import MAX_IDENTIFIER, identifier

router = APIGatewayRouter()

type _Ranges = Mapping[str, tuple[str, str]]
"""Ranges of the index by name, in the order in which they are listed."""


@router.get("/providers/<provider>/deliveries", summary="List deliveries of a client", responses=responses(DeliveriesView, 200))
def list_deliveries(  # noqa: PLR0917 - one for each parameter of the query
    provider: Name,
    client_id: Annotated[str, Query(min_length=1, max_length=MAX_IDENTIFIER)],
    status: Annotated[list[Status] | None, Query(description="may be repeated; all if left out")] = None,
    since: Annotated[AwareDatetime | None, Query(description="ISO 8601 with a zone")] = None,
    until: Annotated[AwareDatetime | None, Query(description="ISO 8601 with a zone")] = None,
    after: After = None,
    limit: Limit = 100,
) -> DeliveriesView:
    """Return a page of the client's deliveries, status by status, that came to their status from `since` until `until`.

    The list may lag behind by seconds.
    """
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    client_id = identifier("client_id", client_id)
    ranges = _ranges(status, 0 if since is None else milliseconds(since), FOREVER if until is None else milliseconds(until))
    listed = f"deliveries/{provider}/{client_id}/{','.join(status or ())}/{since}/{until}"
    start = _place(position(after, listed, dict), ranges)
    page, place = _page(using.deliveries, (issuer, client_id), ranges, start, limit)
    return DeliveriesView(deliveries=[DeliveryView(**delivery_members(record)) for record in page], next=cursor(place, listed))


def _ranges(statuses: Sequence[Status] | None, since: int, until: int) -> _Ranges:
    """Return the ranges of the index that are asked for; one in all, where nothing limits them.

    Raises:
        MalformedRequestError: there is no such time.

    """
    if not 0 <= since <= until <= FOREVER:
        raise MalformedRequestError("since is before the epoch, or later than until")
    if statuses is None and (since, until) == (0, FOREVER):
        return {"": status_range(None)}
    return {str(each): status_range(each, since, until) for each in dict.fromkeys(statuses or Status)}


def _place(found: dict[str, Any] | None, ranges: _Ranges) -> Place:
    """Return where to continue.

    Raises:
        MalformedRequestError: there is no such place.

    """
    match found:
        case None:
            return Place(next(iter(ranges)), None)
        case {"range": str(name), "after": start} if name in ranges:
            return Place(name, index_key(start, ranges[name]))
    raise MalformedRequestError("after is not a cursor of this list")


def _page(
    deliveries: Deliveries, client: tuple[str, str], ranges: _Ranges, start: Place, limit: int
) -> tuple[list[DeliveryRecord], dict[str, Any] | None]:
    """Return a page that begins there, over as many ranges as it takes, and where the next one begins."""
    found = list[DeliveryRecord]()
    for page, place in walk(deliveries, client, ranges, start, lambda: limit - len(found)):
        found.extend(page)
        if place is not None and (place.after is not None or len(found) == limit):
            return found, {"range": place.name, "after": place.after}
    return found, None


def delivery_members(record: DeliveryRecord) -> dict[str, Any]:
    """Return what the API shows of a delivery wherever it shows one."""
    return {
        "logout_id": record.logout_id,
        "client_id": record.client_id,
        "sid": record.sid,
        "status": record.status,
        "attempts": record.attempts,
        "last_code": record.last_code,
        "last_status_code": record.last_status_code,
        "error": record.error,
        "error_description": record.error_description,
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
        "next_attempt_at": optional_timestamp(record.next_attempt_at),
    }
