"""Whether there is an event bus to announce to; without one, nothing that announces is imported."""

from typing import TYPE_CHECKING

from backchannel.aws.sqs import Queue

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    from backchannel.deliveries.announcer import Announcer


def announcer_if_on(
    dynamodb: "DynamoDBClient", deliveries_table: str, sqs: "SQSClient", events_out_queue_url: str
) -> "Announcer | None":
    """Return what announces through EventsOutQueue, None if its URL is empty: there is no event bus."""
    if not events_out_queue_url:
        return None
    from backchannel.deliveries.announcer import Announcer  # noqa: PLC0415

    return Announcer.over(dynamodb, deliveries_table, Queue(sqs, events_out_queue_url))
