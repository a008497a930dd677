"""What the routes need. The admin function puts it into the context of each request."""

import time
from dataclasses import dataclass

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.aws.functions import Function
from backchannel.aws.secrets import OwnSecrets
from backchannel.aws.sqs import Queue
from backchannel.deliveries.circuits import Circuits
from backchannel.deliveries.client_counts import ClientCounts
from backchannel.deliveries.table import Deliveries
from backchannel.logouts.listing import LogoutList
from backchannel.logouts.mass.chunks import Chunks
from backchannel.logouts.mass.table import MassLogouts
from backchannel.logouts.mass.told import Told
from backchannel.logouts.table import Logouts
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.source_changes import SourceChanges
from backchannel.providers.table import Providers
from backchannel.sessions.intake import Intake
from backchannel.sessions.table import Sessions
from backchannel.tokens.documents import Documents
from backchannel.tokens.own_keys import OwnKeys
from backchannel.tokens.rotation import Periods


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Tables, queues, secrets, keys, documents of others, and what this deployment permits."""

    providers: Providers
    sessions: Sessions
    logouts: Logouts
    deliveries: Deliveries
    circuits: Circuits
    intake: Intake
    delivery_queue: Queue
    secrets: OwnSecrets
    secret_prefix: str
    documents: Documents
    key_rotation: Function
    delivery: Function
    own_keys: OwnKeys
    periods: Periods
    source_changes: SourceChanges
    activities: SourceActivities
    client_counts: ClientCounts
    logout_list: LogoutList
    mass_logouts: MassLogouts
    mass_chunks: Chunks
    mass_logout_queue: Queue
    told: Told
    permit_private_networks: bool
    permit_loopback: bool


def dependencies(router: APIGatewayRouter) -> Dependencies:
    """Return what the function has put into the context of this request."""
    found: Dependencies = router.context["dependencies"]
    return found


def now() -> int:
    """Return the time in milliseconds since the epoch."""
    return round(time.time() * 1000)


def requester(router: APIGatewayRouter) -> str:
    """Return the ARN of the IAM principal who makes this request, as API Gateway has verified it, or else ``unknown``."""
    return router.current_event.raw_event["requestContext"]["identity"]["userArn"] or "unknown"
