"""delivery: attempts the deliveries of a batch concurrently; those that must wait move to RetryQueue, or stay there.

Those of mass logouts stay in MassDeliveryQueue, which is to them what RetryQueue is to the others.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.aws.clients import CONFIG, IMPATIENT
from backchannel.aws.dead_letters import DeadLetters
from backchannel.aws.sqs import Queue, SqsRecord
from backchannel.deliveries.announcing import announcer_if_on
from backchannel.deliveries.circuits import Circuits
from backchannel.deliveries.client_counter import ClientCounter
from backchannel.deliveries.client_counts import ClientCounts
from backchannel.deliveries.client_tester import ClientTester
from backchannel.deliveries.consumer import DeliveryConsumer, Handled, count
from backchannel.deliveries.newer_logins import NewerLogins
from backchannel.deliveries.slow_clients import SlowClients
from backchannel.deliveries.table import Deliveries
from backchannel.deliveries.waking import Waker
from backchannel.deliveries.worker import DeliveryWorker
from backchannel.egress.post import Egress
from backchannel.providers.cache import cached
from backchannel.providers.table import Providers
from backchannel.runtime import cpu
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.table import Sessions
from backchannel.tokens.kms import KmsSigner
from backchannel.tokens.probe import probe

if TYPE_CHECKING:
    from backchannel.deliveries.encryption import Encryption

BATCH = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    deliveries_table: str
    circuits_table: str
    client_documents_table: str
    permit_private_networks: bool
    retry_queue_url: str
    retry_queue_arn: str
    client_counts_table: str
    mass_delivery_queue_url: str
    mass_delivery_queue_arn: str
    delivery_dead_letter_queue_url: str
    events_out_queue_url: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
retry_queue = Queue(sqs, settings.retry_queue_url)
providers = Providers(dynamodb, settings.providers_table, permit_private_networks=settings.permit_private_networks)
deliveries = Deliveries(dynamodb, settings.deliveries_table)
signer = KmsSigner(boto3.client("kms", config=CONFIG))
slow_clients = SlowClients()
announcer = announcer_if_on(dynamodb, settings.deliveries_table, sqs, settings.events_out_queue_url)


@functools.cache
def encryption() -> "Encryption":
    """Return what encrypts tokens. It is imported when a client wants that: nobody else waits for it."""
    from backchannel.deliveries.encryption import Encryption  # noqa: PLC0415

    return Encryption.with_copies_in(dynamodb, settings.client_documents_table, slow_clients)


egress = Egress()
worker = DeliveryWorker(
    provider=cached(providers.get),
    current_provider=providers.get,
    client=cached(providers.get_client),
    current_client=providers.get_client,
    deliveries=deliveries,
    newer_logins=NewerLogins(Sessions(dynamodb, settings.sessions_table), deliveries, retry_queue),
    signer=signer,
    encryption=encryption,
    egress=egress,
    circuits=Circuits(dynamodb, settings.circuits_table, None if announcer is None else announcer.circuit_changed),
)
tester = ClientTester(providers.get, providers.get_client, encryption, signer, egress)
consumer = DeliveryConsumer(
    worker,
    retry_queue=retry_queue,
    retry_queue_arn=settings.retry_queue_arn,
    dead_letters=DeadLetters(Queue(sqs, settings.delivery_dead_letter_queue_url)),
    slow_clients=slow_clients,
    waker=Waker(providers.get, providers.get_client, deliveries, retry_queue),
)
mass_queue = Queue(sqs, settings.mass_delivery_queue_url)
mass_consumer = replace(  # whatever has to wait, waits in the queue that it came from
    consumer,
    worker=replace(worker, newer_logins=replace(worker.newer_logins, queue=mass_queue)),
    retry_queue=mass_queue,
    retry_queue_arn=settings.mass_delivery_queue_arn,
)


@functools.cache
def client_counts() -> ClientCounts:
    """Return where outcomes are counted. Its client is made with the first count."""
    return ClientCounts(boto3.client("dynamodb", config=IMPATIENT), settings.client_counts_table)


counter = ClientCounter(client_counts)
pool = ThreadPoolExecutor(BATCH, initializer=cpu.shared_by_threads())


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Attempt a batch; what waits in RetryQueue is reported as failed, so that SQS keeps it.

    Or, for `admin`: show that a key signs, or test a client.
    """
    if "probe" in event:
        return probe(signer, **event["probe"])
    if "test" in event:
        return tester.test(**event["test"])
    records = [SqsRecord.of(record) for record in event["Records"]]
    handled = list(pool.map(_handle, records))
    if announcer is not None:
        batch = list(zip(records, handled, strict=True))
        handled = _consumer_of(records[0]).announced(batch, announcer, time_left=context.get_remaining_time_in_millis())
    count(handled)
    counter.count(
        (each.verdict for each in handled),
        worker.now(),
        time_left=context.get_remaining_time_in_millis(),
        side_by_side=pool.map,
    )
    return {"batchItemFailures": [{"itemIdentifier": each.message_id} for each in handled if each.stays]}


def _handle(record: SqsRecord) -> Handled:
    return _consumer_of(record).handle(record)


def _consumer_of(record: SqsRecord) -> DeliveryConsumer:
    return mass_consumer if record.queue_arn == settings.mass_delivery_queue_arn else consumer
