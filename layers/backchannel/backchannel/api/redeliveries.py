"""``…/redeliveries``: sends deliveries of a logout or of a client again, a limited number in each request.

A delivery is sent again if it is final and not accepted, or if it is stranded: pending, but its message is lost. ``statuses``
narrows both. ``now`` hastens what waits for a later attempt. A delivery is reset first, then queued. If a request dies in
between, the delivery is stranded, and a later request finds it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import batched
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import Dependencies, dependencies, now, requester
from backchannel.api.paging import cursor, index_key, position, sort_key
from backchannel.api.parameters import After, EscapedClientId, LogoutId, Name, client_id_in_path
from backchannel.api.requests import ClientRedeliveryRequest, LogoutRedeliveryRequest, milliseconds
from backchannel.api.views import responses
from backchannel.api.views.deliveries import Redelivered
from backchannel.aws.dynamodb import key
from backchannel.deliveries.client_walk import Place, walk
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.records import DeliveryRecord, status_range
from backchannel.deliveries.table import STRANDED, Deliveries
from backchannel.errors import MalformedRequestError

router = APIGatewayRouter()

MOST = 500
"""The most deliveries that one request queues."""

MOST_READ = 5000
"""The most that it reads to find them: most deliveries of a logout may be accepted, most of a client may be waiting."""

LONGEST = 10_000
"""Milliseconds after which it starts no further page. API Gateway waits for 29 s."""

PAGE = 100
TOGETHER = 10
"""How many are reset before they are queued: one batch of SQS."""

FAILED = (
    *(Status.REJECTED, Status.BLOCKED, Status.UNDELIVERABLE, Status.SUPPRESSED),
    *PENDING,
)
"""Which deliveries of a client are sent again by default, in this order; of the pending ones, only those that are stranded."""

type Pages = Iterator[tuple[Sequence[DeliveryRecord], object]]
"""Pages of deliveries, each with the place where the next page starts; None after the last page."""


@router.post(
    "/providers/<provider>/logouts/<logout_id>/redeliveries",
    summary="Send again what is not accepted",
    responses=responses(Redelivered, 202),
)
def of_logout(
    provider: Name, logout_id: LogoutId, request: LogoutRedeliveryRequest | None = None, after: After = None
) -> tuple[Redelivered, int]:
    """Queue deliveries of the logout again that are final and not accepted, or stranded: up to 500 in one request.

    A body is optional; requests that follow have to have the same one.
    """
    using = dependencies(router)
    using.logouts.get(using.providers.get(provider).issuer, logout_id)
    wish = request or LogoutRedeliveryRequest()
    listed = f"redeliveries/{logout_id}/{_named(wish)}"
    pages = _pages_of_logout(using.deliveries, logout_id, sort_key(after, listed, key("RP", "")))
    return _redeliver(using, pages, wish, listed), HTTPStatus.ACCEPTED


@router.post(
    "/providers/<provider>/clients/<client_id>/redeliveries",
    summary="Send again what failed at a client",
    responses=responses(Redelivered, 202),
)
def of_client(
    provider: Name, client_id: EscapedClientId, request: ClientRedeliveryRequest, after: After = None
) -> tuple[Redelivered, int]:
    """Queue deliveries again that failed or were suppressed in a time range, or that are stranded since then.

    Up to 500 in one request; those that follow have to have the same body.
    """
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    client_id = client_id_in_path(client_id)
    since, received = milliseconds(request.since), now()
    before = received - 1  # what this request resets is at ``received``, so that it is not met again
    until = before if request.until is None else min(milliseconds(request.until), before)
    listed = f"redeliveries/{provider}/{client_id}/{request.since}/{request.until}/{_named(request)}"
    statuses = FAILED if request.statuses is None else tuple(dict.fromkeys(request.statuses))
    start, until = _place(position(after, listed, dict), statuses, since, until)
    if not 0 <= since <= until:
        raise MalformedRequestError("since is before the epoch, or later than until or now")
    pages = _pages_of_client(using.deliveries, (issuer, client_id), (since, until), statuses, start)
    return _redeliver(using, pages, request, listed), HTTPStatus.ACCEPTED


def _named(wish: LogoutRedeliveryRequest) -> str:
    """Return what distinguishes the list of one wish from that of another."""
    return f"{wish.now}/{wish.statuses}"


def _redeliver(using: Dependencies, pages: Pages, wish: LogoutRedeliveryRequest, listed: str) -> Redelivered:
    received = now()
    done = Counter[str]()
    place: object = None
    for page, place in pages:  # noqa: B007 - the next request continues at the last place
        done += _send_again(using, page, wish, received)
        if done["queued"] + PAGE > MOST or done.total() + PAGE > MOST_READ or now() - received > LONGEST:
            break
    queued = done.pop("queued", 0)
    return Redelivered(queued=queued, skipped=dict(done), next=cursor(place, listed))


def _send_again(
    using: Dependencies, page: Iterable[DeliveryRecord], wish: LogoutRedeliveryRequest, received: int
) -> Counter[str]:
    """Reset or hasten, and queue, those deliveries of a page that are wanted; return how many, and why not the others."""
    done, by = Counter[str](), requester(router)
    for some in batched(page, TOGETHER, strict=False):
        results = [(record, _prepare(using.deliveries, record, wish, received, by)) for record in some]
        done.update(result for _, result in results)
        using.delivery_queue.send(record.message.outgoing() for record, result in results if result == "queued")
    return done


def _prepare(deliveries: Deliveries, record: DeliveryRecord, wish: LogoutRedeliveryRequest, received: int, by: str) -> str:
    """Reset or hasten a delivery; return ``queued``, or why it is left alone."""
    is_named = wish.statuses is None or record.status in wish.statuses
    if record.status not in PENDING:
        if not is_named or (wish.statuses is None and record.status is Status.ACCEPTED):
            return str(record.status)
        is_ready = deliveries.reopen(record, received, even_accepted=record.status is Status.ACCEPTED, requested_by=by)
    elif not is_named:
        return "waiting"
    elif (record.next_attempt_at or record.updated_at) < received - STRANDED:
        is_ready = deliveries.reopen(record, received, requested_by=by)
    elif wish.now and (record.next_attempt_at or 0) > received and record.updated_at < received:
        is_ready = deliveries.hasten(record, received, requested_by=by)
    else:
        return "waiting"
    return "queued" if is_ready else "in_progress"


def _pages_of_logout(deliveries: Deliveries, logout_id: str, after: str | None) -> Pages:
    while True:
        page = deliveries.of_logout(logout_id, after, PAGE)
        after = page.cursor
        yield page.items, after
        if after is None:
            return


def _pages_of_client(
    deliveries: Deliveries,
    client: tuple[str, str],
    time: tuple[int, int],
    statuses: Sequence[Status],
    start: Place,
) -> Pages:
    """Walk through the index, status by status. A delivery that is reset gets a time after ``time``, so it is not met again."""
    ranges = {str(status): status_range(status, *time) for status in statuses}
    for page, place in walk(deliveries, client, ranges, start, lambda: PAGE):
        yield page, None if place is None else {"until": time[1], "status": place.name, "after": place.after}


def _place(found: dict[str, Any] | None, statuses: Sequence[Status], since: int, until: int) -> tuple[Place, int]:
    """Return where to continue, and the end of the time range as in the first request.

    Raises:
        MalformedRequestError: there is no such place.

    """
    match found:
        case None:
            return Place(str(statuses[0]), None), until
        case {"until": int(first_until), "status": str(status), "after": start} if status in statuses and first_until <= until:
            return Place(status, index_key(start, status_range(Status(status), since, first_until))), first_until
    raise MalformedRequestError("after is not a cursor of this list")
