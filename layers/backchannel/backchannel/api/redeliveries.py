"""``…/redeliveries``: deliveries sent again, of a logout or of a client."""

from collections.abc import Iterable
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import Dependencies, dependencies, now
from backchannel.api.schemas import Name, PathIdentifier, Redelivered, RedeliveryRequest, answers, client_id_in_path, milliseconds
from backchannel.delivery_items import DeliveryRecord
from backchannel.errors import MalformedRequestError
from backchannel.outcomes import Status
from backchannel.queues import Outgoing

router = APIGatewayRouter()

MOST = 500
"""How many deliveries one request queues again, well within the time that API Gateway waits."""

STRANDED = 300_000
"""Milliseconds: a delivery that was due longer ago than this may have lost its message to a redelivery that was cut short."""

FAILED = (Status.REJECTED, Status.BLOCKED, Status.UNDELIVERABLE, Status.QUEUED)
"""What is sent again of a client; of those that are queued, only what is stranded."""


@router.post(
    "/providers/<provider>/logouts/<logout_id>/redeliveries",
    summary="Send again what is not accepted",
    responses=answers(Redelivered, 202),
)
def of_logout(provider: Name, logout_id: PathIdentifier) -> tuple[Redelivered, int]:
    """Queue again every delivery of the logout that is final and not accepted."""
    using = dependencies(router)
    using.logouts.get(provider, logout_id)
    return _redeliver(using, using.deliveries.all_of_logout(logout_id)), HTTPStatus.ACCEPTED


@router.post(
    "/providers/<provider>/clients/<client_id>/redeliveries",
    summary="Send again what failed at a client",
    responses=answers(Redelivered, 202),
)
def of_client(provider: Name, client_id: PathIdentifier, request: RedeliveryRequest) -> tuple[Redelivered, int]:
    """Queue again every delivery to the client that became rejected, blocked or undeliverable in a time range."""
    using = dependencies(router)
    using.providers.get(provider)
    since, until = milliseconds(request.since), now() if request.until is None else milliseconds(request.until)
    if since > until:
        raise MalformedRequestError("since is later than until")
    failed = using.deliveries.all_of_client(provider, client_id_in_path(client_id), FAILED, since, until)
    return _redeliver(using, failed), HTTPStatus.ACCEPTED


def _redeliver(using: Dependencies, records: Iterable[DeliveryRecord]) -> Redelivered:
    received = now()
    queued = 0
    for record in records:
        expected = record.next_attempt_at or record.updated_at
        is_stranded = record.status is Status.QUEUED and expected < received - STRANDED
        if not is_stranded and not using.deliveries.reopen(record, received):
            continue
        using.delivery_queue.send([Outgoing(record.message.to_json(), (record.provider, record.client_id))])
        queued += 1
        if queued == MOST:
            return Redelivered(queued=queued, more=True)
    return Redelivered(queued=queued)
