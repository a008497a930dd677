"""The functions in this process, each with the environment that the template gives it, and the events that Lambda hands over."""

import importlib.util
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
TABLES = (
    *("providers", "sessions", "deliveries", "circuits", "fetched_documents", "client_documents", "sender_documents"),
    *("source_activity", "client_counts", "mass_logouts"),
)
QUEUES = (
    *("session_ended", "session_ended_dead_letter", "delivery", "retry", "delivery_dead_letter"),
    *("source_events", "source_events_dead_letter"),
    *("mass_logout", "mass_logout_dead_letter", "mass_logout_ended", "mass_delivery"),
)
ACCOUNT = "eu-central-1:000000000000"

ENVIRONMENT: Mapping[str, str] = {
    **{f"{table}_table".upper(): table for table in TABLES},
    **{f"{queue}_queue_url".upper(): f"https://sqs.example/000000000000/{queue}" for queue in QUEUES},
    "RETRY_QUEUE_ARN": f"arn:aws:sqs:{ACCOUNT}:retry",
    "MASS_DELIVERY_QUEUE_ARN": f"arn:aws:sqs:{ACCOUNT}:mass_delivery",
    "MASS_LOGOUT_ENDED_QUEUE_ARN": f"arn:aws:sqs:{ACCOUNT}:mass_logout_ended",
    "SESSION_LIFETIME_DAYS": "30",
    "PERMIT_PRIVATE_NETWORKS": "true",
    "PUBLIC_URL": "",
    "EVENTS_OUT_QUEUE_URL": "",
    "POWERTOOLS_METRICS_NAMESPACE": "Backchannel",
}
"""Tables and queues under plain names."""


CONTEXT = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=512,
    invoked_function_arn=f"arn:aws:lambda:{ACCOUNT}:function:function",
    aws_request_id="00000000-0000-4000-8000-000000000000",
    get_remaining_time_in_millis=lambda: 60_000,
)


def load(function: str) -> ModuleType:
    """Run the handler's module, as a cold start does."""
    spec = importlib.util.spec_from_file_location(f"deployed_{function}", FUNCTIONS / function / "app.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app


def sqs_event(queue: str, bodies: Iterable[str]) -> dict[str, Any]:
    """Return the event of a batch that was received from a queue for the first time."""
    now = round(time.time() * 1000)
    return {
        "Records": [
            {
                "messageId": str(uuid.uuid4()),
                "receiptHandle": "handle",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(now)},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{ACCOUNT}:{queue}",
            }
            for body in bodies
        ]
    }
