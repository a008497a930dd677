"""Many deliveries of one client, as the end of a subject with many sessions leaves them behind."""

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from backchannel.aws.sqs import Outgoing, Queue
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.records import DeliveryRecord, PlannedDelivery, Run
from backchannel.deliveries.table import Deliveries
from local.client import Stack
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.recorded import all_of_logout
from tests.support.unspeakable import new_id

WRITERS = 8


class Backlog:
    """So many recorded deliveries of one client, first queued ``age`` seconds ago."""

    def __init__(self, stack: Stack, provider: Provider, client_id: str, count: int, *, age: int = 0) -> None:
        aws = Aws(stack)
        self._stack, self._sqs = stack, aws.client("sqs")
        self._deliveries = Deliveries(aws.client("dynamodb"), stack.tables["DeliveriesTable"])
        sub, self.logout = new_id("sub"), secrets.token_hex(16)
        at = round((time.time() - age) * 1000)
        run = Run(provider.name, provider.issuer, self.logout, "run", at)
        sids = [new_id("sid") for _ in range(count)]
        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(lambda sid: self._deliveries.record(run, PlannedDelivery(client_id, sid, sub), at), sids))
        self._messages = [DeliveryMessage(provider.name, self.logout, client_id, sid) for sid in sids]

    def queue(self, queue: str, delays: Sequence[int] = (0,)) -> None:
        """Send all of them to a queue, after these delays in turn (seconds)."""
        Queue(self._sqs, self._stack.queues[queue]).send(
            Outgoing(message.to_json(), (message.provider, message.client_id), delays[number % len(delays)] * 1000)
            for number, message in enumerate(self._messages)
        )

    def deliveries(self) -> list[DeliveryRecord]:
        """Return all as they are now."""
        return list(all_of_logout(self._deliveries, self.logout))

    def come_up(self) -> int:
        """Return how many something has come of."""
        return sum(each.last_code is not None for each in self.deliveries())
