"""What the routes work with; the function that serves them puts it into their context."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.circuits import Circuits
from backchannel.deliveries import Deliveries
from backchannel.intake import Intake
from backchannel.logouts import Logouts
from backchannel.providers import Providers
from backchannel.public_keys import PublicKeys
from backchannel.queues import Queue
from backchannel.sessions import Sessions
from backchannel.source_secrets import SourceSecrets


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Tables, queues, secrets, keys, and what this deployment permits."""

    providers: Providers
    sessions: Sessions
    logouts: Logouts
    deliveries: Deliveries
    circuits: Circuits
    intake: Intake
    delivery_queue: Queue
    secrets: SourceSecrets
    secret_prefix: str
    public_keys: PublicKeys
    signing_key_arns: Mapping[str, str]
    permit_private_networks: bool


def dependencies(router: APIGatewayRouter) -> Dependencies:
    """Return what the function has put into the context of this request."""
    found: Dependencies = router.context["dependencies"]
    return found


def now() -> int:
    """Return the time in milliseconds since the epoch."""
    return round(time.time() * 1000)
