"""webhook: verifies the sender, turns its payload into session events, stores starts and queues ends."""

import functools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.api.problems import CONTENT_TYPE, problem_of
from backchannel.api.source_counter import SourceCounter
from backchannel.api.webhooks import WebhookReceiver
from backchannel.aws.clients import CONFIG, IMPATIENT
from backchannel.aws.secrets import Secrets
from backchannel.aws.sqs import Queue
from backchannel.errors import CallerError, InternalFailure
from backchannel.providers.cache import CACHE_SECONDS, cached, with_misses
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Provider, Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.sessions.events import RpSessionStarted, SessionEvent
from backchannel.sessions.intake import Intake, Taken
from backchannel.sessions.table import Sessions
from backchannel.webhooks.request import Request, is_form, is_security_event_token

if TYPE_CHECKING:
    from backchannel.api.logout_tokens import LogoutTokenReceiver
    from backchannel.api.security_event_tokens import SecurityEventTokenReceiver
    from backchannel.api.sender_keys import SenderKeys


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    sessions_table: str
    deliveries_table: str
    session_ended_queue_url: str
    source_events_queue_url: str
    session_lifetime_days: int
    sender_documents_table: str
    source_activity_table: str
    permit_private_networks: bool


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
providers = Providers(dynamodb, settings.providers_table, permit_private_networks=settings.permit_private_networks)
sessions = Sessions(dynamodb, settings.sessions_table, settings.session_lifetime_days)


@functools.cache
def sender_keys() -> "SenderKeys":
    """Return what verifies tokens. It is imported when a source's sender signs them: nobody else waits for it."""
    from backchannel.api.sender_keys import PATIENCE, SenderKeys  # noqa: PLC0415
    from backchannel.egress.post import Egress  # noqa: PLC0415
    from backchannel.tokens.documents import Documents  # noqa: PLC0415
    from backchannel.tokens.fetched_documents import FetchedDocuments  # noqa: PLC0415

    fetch = Egress(deadline=PATIENCE, preload=False).get
    return SenderKeys(Documents(fetch, FetchedDocuments(dynamodb, settings.sender_documents_table)))


@functools.cache
def activities() -> SourceActivities:
    """Return where sources are counted. Its client is made with the first count."""
    return SourceActivities(boto3.client("dynamodb", config=IMPATIENT), settings.source_activity_table)


def hand_on(provider: Provider, source: str, events: Sequence[SessionEvent]) -> Taken:
    """Queue the events of a large batch for `source_events`. What writes them is imported when the first comes."""
    from backchannel.sessions.handed_on import messages  # noqa: PLC0415

    Queue(sqs, settings.source_events_queue_url).send(messages(provider.provider, provider.issuer, source, events))
    starts = sum(isinstance(event, RpSessionStarted) for event in events)
    return Taken(starts, len(events) - starts)


receiver = WebhookReceiver(
    provider=cached(with_misses(providers.get)),
    source=cached(with_misses(providers.get_source)),
    client=cached(providers.get_client),
    secrets=Secrets(boto3.client("secretsmanager", config=CONFIG), CACHE_SECONDS),
    intake=Intake(sessions, Queue(sqs, settings.session_ended_queue_url)),
    sender_keys=sender_keys,
    counter=SourceCounter(activities),
    hand_on=hand_on,
)


@functools.cache
def logout_tokens() -> "LogoutTokenReceiver":
    """Return what receives logout tokens. It is imported when the first comes: no other webhook waits for that."""
    from backchannel.api.logout_tokens import LogoutTokenReceiver  # noqa: PLC0415
    from backchannel.deliveries.table import Deliveries  # noqa: PLC0415

    return LogoutTokenReceiver(receiver, sessions, Deliveries(dynamodb, settings.deliveries_table))


@functools.cache
def security_event_tokens() -> "SecurityEventTokenReceiver":
    """Return what receives Security Event Tokens. It is imported when the first comes."""
    from backchannel.api.security_event_tokens import SecurityEventTokenReceiver  # noqa: PLC0415

    return SecurityEventTokenReceiver(receiver)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    """Answer one webhook, or the GET of a sender that asks whether this is the address of a receiver."""
    path, now = event["pathParameters"], round(time.time() * 1000)
    try:
        request = Request.of(event)
        if event.get("httpMethod") == "GET":
            return _json(HTTPStatus.OK, receiver.challenged(path["provider"], path["source"], request, now))
        if is_form(request):
            return logout_tokens().answer(path["provider"], path["source"], request, now)
        if is_security_event_token(request):
            return security_event_tokens().answer(path["provider"], path["source"], request, now)
        received = receiver.receive(path["provider"], path["source"], request, now)
    except (CallerError, InternalFailure) as error:
        if isinstance(error, CallerError):
            receiver.refused(path["provider"], path["source"], error, now)
        answer = problem_of(error)
        headers = {**answer.headers, "Content-Type": CONTENT_TYPE}
        return {"statusCode": answer.status, "headers": headers, "body": answer.body}
    return _json(received.status, received.counts)


def _json(status: HTTPStatus, body: Mapping[str, Any]) -> dict[str, Any]:
    if status == HTTPStatus.NO_CONTENT:
        return {"statusCode": status, "headers": {}, "body": ""}
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
