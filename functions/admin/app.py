"""admin: serves the operator's interface. API Gateway has already checked the caller's IAM signature."""

from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.dependencies import Dependencies
from backchannel.api.resolver import app
from backchannel.aws.clients import CONFIG
from backchannel.aws.functions import CONFIG as FUNCTION_CONFIG
from backchannel.aws.functions import Function
from backchannel.aws.secrets import OwnSecrets
from backchannel.aws.sqs import Queue
from backchannel.deliveries.circuits import Circuits
from backchannel.deliveries.client_counts import ClientCounts
from backchannel.deliveries.table import Deliveries
from backchannel.egress.post import Egress
from backchannel.logouts.listing import LogoutList
from backchannel.logouts.mass.chunks import Chunks
from backchannel.logouts.mass.table import MassLogouts
from backchannel.logouts.mass.told import Told
from backchannel.logouts.table import Logouts
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.source_changes import SourceChanges
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger
from backchannel.runtime.settings import from_environment
from backchannel.sessions.intake import Intake
from backchannel.sessions.table import Sessions
from backchannel.tokens.documents import Documents
from backchannel.tokens.fetched_documents import FetchedDocuments
from backchannel.tokens.own_keys import OwnKeys
from backchannel.tokens.rotation import Periods

PATIENCE = 5.0
"""Seconds for a document of somebody else's. API Gateway waits for 29 s; a request may need two of them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    deliveries_table: str
    circuits_table: str
    fetched_documents_table: str
    session_ended_queue_url: str
    delivery_queue_url: str
    stack_name: str
    environment: str
    session_lifetime_days: int
    permit_private_networks: bool
    key_rotation_function: str
    delivery_function: str
    key_wait: int
    key_grace: int
    source_activity_table: str
    client_counts_table: str
    mass_logouts_table: str
    mass_logout_queue_url: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
lambda_ = boto3.client("lambda", config=FUNCTION_CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
sessions = Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days)
delivery = Function(lambda_, settings.delivery_function)
dependencies = Dependencies(
    providers=Providers(dynamodb, settings.providers_table),
    sessions=sessions,
    logouts=Logouts(dynamodb, settings.deliveries_table),
    deliveries=Deliveries(dynamodb, settings.deliveries_table),
    circuits=Circuits(dynamodb, settings.circuits_table),
    intake=Intake(sessions, Queue(sqs, settings.session_ended_queue_url)),
    delivery_queue=Queue(sqs, settings.delivery_queue_url),
    secrets=OwnSecrets(boto3.client("secretsmanager", config=CONFIG), settings.stack_name),
    secret_prefix=f"backchannel/{settings.stack_name}",
    documents=Documents(
        Egress(deadline=PATIENCE, preload=False).get, FetchedDocuments(dynamodb, settings.fetched_documents_table)
    ),
    key_rotation=Function(lambda_, settings.key_rotation_function),
    delivery=delivery,
    own_keys=OwnKeys(boto3.client("kms", config=CONFIG), delivery),
    periods=Periods(wait=settings.key_wait * 1000, grace=settings.key_grace * 1000),
    source_changes=SourceChanges(dynamodb, settings.providers_table),
    activities=SourceActivities(dynamodb, settings.source_activity_table),
    client_counts=ClientCounts(dynamodb, settings.client_counts_table),
    logout_list=LogoutList(dynamodb, settings.deliveries_table),
    mass_logouts=MassLogouts(dynamodb, settings.mass_logouts_table),
    mass_chunks=Chunks(dynamodb, settings.mass_logouts_table),
    mass_logout_queue=Queue(sqs, settings.mass_logout_queue_url),
    told=Told(dynamodb, settings.deliveries_table),
    permit_private_networks=settings.permit_private_networks,
    permit_loopback=settings.environment == "local",
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    app.append_context(dependencies=dependencies)
    return app.resolve(event, context)
