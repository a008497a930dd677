"""``…/counts``: how many deliveries were accepted and failed, of a client by day, and of each client of a provider."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import dependencies
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, EscapedClientId, Limit, Name, client_id_in_path
from backchannel.api.views import responses
from backchannel.api.views.client_counts import ClientCountsView, ClientDaysView, CountsView, DayCountsView, ProviderCountsView
from backchannel.aws.dynamodb import key
from backchannel.deliveries.client_counts import RETENTION_DAYS, SHARDS, ClientDay, percentile
from backchannel.errors import MalformedRequestError

router = APIGatewayRouter()

WEEK = 7
MOST_READ = 4000
"""The most items that one request reads: the longer the time, the fewer clients are in a page."""

Day = Annotated[
    str | None, Query(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="a UTC date; without since and until, the last 7 days")
]


@router.get(
    "/providers/<provider>/clients/<client_id>/counts",
    summary="Count a relying party's deliveries by day",
    responses=responses(ClientDaysView, 200),
)
def of_client(provider: Name, client_id: EscapedClientId, since: Day = None, until: Day = None) -> ClientDaysView:
    """Return what came of the client's deliveries on each day, and on all of them together. The counts may lag behind by seconds.

    A day on which nothing was counted is left out.
    """
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    client = using.providers.get_client(provider, client_id_in_path(client_id)).client_id
    days = _days(since, until)
    counted = using.client_counts.read(ClientDay(issuer, client, day.isoformat()) for day in days)
    return ClientDaysView(
        client_id=client,
        since=days[0],
        until=days[-1],
        total=CountsView(**_shown(sum(counted.values(), Counter()))),
        days=[DayCountsView(day=date.fromisoformat(of.day), **_shown(tally)) for of, tally in sorted(counted.items())],
    )


@router.get(
    "/providers/<provider>/counts",
    summary="Count the deliveries of each relying party",
    responses=responses(ProviderCountsView, 200),
)
def of_clients(
    provider: Name, since: Day = None, until: Day = None, after: After = None, limit: Limit = 100
) -> ProviderCountsView:
    """Return a page of the provider's clients, and what came of their deliveries. The counts may lag behind by seconds.

    The clients come as in the list of clients, fewer than ``limit`` in a page if the time is long.
    """
    using = dependencies(router)
    issuer = using.providers.get(provider).issuer
    days = _days(since, until)
    listed = f"counts/{provider}/{since}/{until}"
    most = min(limit, MOST_READ // (len(days) * SHARDS))
    page = using.providers.clients(provider, sort_key(after, listed, key("CLIENT", "")), most)
    sums = {client.client_id: Counter[str]() for client in page.items}
    wanted = (ClientDay(issuer, name, day.isoformat()) for name in sums for day in days)
    for of, tally in using.client_counts.read(wanted).items():
        sums[of.client_id].update(tally)
    return ProviderCountsView(
        since=days[0],
        until=days[-1],
        clients=[ClientCountsView(client_id=name, **_shown(tally)) for name, tally in sums.items()],
        next=cursor(page.cursor, listed),
    )


def _days(since: str | None, until: str | None) -> list[date]:
    """Return the days from one to another.

    Raises:
        MalformedRequestError: there is no such day, or there are none or too many between them.

    """
    try:
        last = datetime.now(UTC).date() if until is None else date.fromisoformat(until)
        first = last - timedelta(days=WEEK - 1) if since is None else date.fromisoformat(since)
    except (ValueError, OverflowError) as error:
        raise MalformedRequestError("since or until is no day") from error
    if not 0 <= (last - first).days < RETENTION_DAYS:
        raise MalformedRequestError(
            f"since is later than until or today, or there are more than {RETENTION_DAYS} days between them"
        )
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _shown(tally: Mapping[str, int]) -> dict[str, Any]:
    """Return the members of a view of counts."""
    failed, attempts = _by_code(tally, "failed:"), _by_code(tally, "attempt:")
    return {
        "accepted": tally.get("accepted", 0),
        "failed": sum(failed.values()),
        "failed_by_code": failed,
        "failed_attempts": sum(attempts.values()),
        "failed_attempts_by_code": attempts,
        "p50_ms": percentile(tally, 0.5),
        "p95_ms": percentile(tally, 0.95),
    }


def _by_code(tally: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in sorted(tally.items()) if name.startswith(prefix)}
