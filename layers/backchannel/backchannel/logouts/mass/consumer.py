"""How the records of MassLogoutQueue leave or stay."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord, backoff
from backchannel.errors import InternalFailure, MessageNotUnderstood
from backchannel.logouts.mass.messages import MassLogoutMessage
from backchannel.logouts.mass.runner import MassRunner
from backchannel.logouts.mass.table import Held
from backchannel.logouts.mass.turn import SLICE
from backchannel.runtime.observability import logger, metrics

VISIBILITY = SLICE + 10_000
"""Milliseconds after which the message of a turn that was killed comes again: long before its queue's visibility timeout."""


@dataclass(frozen=True, slots=True)
class MassLogoutConsumer:
    """Has the turns of mass logouts worked, one after another."""

    runner: MassRunner
    queue: Queue
    dead_letters: DeadLetters
    rng: Random = field(default_factory=Random)
    now: Callable[[], int] = lambda: round(time.time() * 1000)

    def handle(self, record: SqsRecord) -> bool:
        """Work a turn; False if its record stays and has to be reported as a batch item failure.

        Raises:
            QueueUnavailable: SQS could not be told when the record has to come again.

        """
        try:
            message = MassLogoutMessage.from_json(record.body)
        except MessageNotUnderstood as failure:
            return self.dead_letters.take(record, failure)
        logger.append_keys(mass_logout=message.mass_logout)
        self.queue.give_back(record, VISIBILITY)
        try:
            worked = self.runner.run(message)
        except InternalFailure as failure:
            logger.error("mass_logout.postponed", code=failure.code, detail=str(failure))
            metrics.add_metric("Postponed", MetricUnit.Count, 1)
            self.queue.give_back(record, backoff(record.receive_count, self.rng))
            return False
        if isinstance(worked, Held):
            self.queue.give_back(record, max(0, worked.until - self.now()))
            return False
        return worked
