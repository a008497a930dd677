"""How the records of SessionEndedQueue and MassLogoutEndedQueue leave or stay."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord, backoff
from backchannel.errors import InternalFailure, MessageNotUnderstood, NotFoundError
from backchannel.logouts.fan_out import FanOut
from backchannel.runtime.observability import logger, metrics
from backchannel.sessions.messages import EndMessage


@dataclass(frozen=True, slots=True)
class FanOutConsumer:
    """Fans the ended sessions of a queue out, one record after the other."""

    fan_out: FanOut
    queue: Queue
    dead_letters: DeadLetters
    rng: Random = field(default_factory=Random)
    now: Callable[[], int] = lambda: round(time.time() * 1000)

    def handle(self, record: SqsRecord, time_is_short: Callable[[], bool]) -> bool:
        """Carry out one ended session; False if its record stays and has to be reported as a batch item failure.

        Raises:
            QueueUnavailable: SQS could not be told when the record has to come again.

        """
        try:
            message = EndMessage.from_json(record.body)
            logger.append_keys(provider=message.provider, logout_id=message.logout_id)
            if message.only_announces:
                self.fan_out.announce(message)
                return True
            finished = self.fan_out.carry_out(
                message, now=self.now, time_is_short=time_is_short, is_repeated=record.receive_count > 1
            )
        except MessageNotUnderstood as failure:
            return self.dead_letters.take(record, failure)
        except InternalFailure as failure:
            logger.error("session.postponed", code=failure.code, detail=str(failure))
            metrics.add_metric("Postponed", MetricUnit.Count, 1)
            self.queue.give_back(record, backoff(record.receive_count, self.rng))
            return False
        except NotFoundError as error:
            # The operator has removed the provider with all its clients: nobody is left to be told.
            logger.warning("session.dropped", code=error.code, detail=str(error))
            return True
        if not finished:
            self.queue.give_back(record, 0)
        logger.info("session.ended", finished=finished, sweep=message.sweep, late_start=message.only_client_id is not None)
        return finished
