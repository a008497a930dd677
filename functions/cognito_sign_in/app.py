"""cognito_sign_in: a user pool's PreTokenGeneration trigger, which hands sign-ins on.

A user waits for it: it returns the event as it is, whatever happens, and waits at most ``PATIENCE`` for anything. So it imports
little, and no failure leaves it, not even that of an import.
"""

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backchannel.aws.background_queue import BackgroundQueue

PATIENCE = 0.15
"""Seconds that a sign-in waits until it is handed on."""


class Settings:
    """What the template gives this function."""

    source_events_queue_url: str


def _count(code: str, detail: str | None = None) -> None:
    """Log and count a sign-in that was not handed on in time, in one line of CloudWatch's embedded metric format."""
    service, namespace = "cognito_sign_in", os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "backchannel")
    metric = {
        "Namespace": namespace,
        "Dimensions": [["service"]],
        "Metrics": [{"Name": "SignInsNotHandedOn", "Unit": "Count"}],
    }
    line = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": "ERROR",
        "service": service,
        "message": "sign_in.not_handed_on",
        "code": code,
        "detail": detail,
        "SignInsNotHandedOn": 1,
        "_aws": {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [metric]},
    }
    with contextlib.suppress(Exception):
        print(json.dumps(line), flush=True)  # noqa: T201 - the log of a function


def _queue() -> "BackgroundQueue | None":
    """Return the queue, to which a connection is begun. None: nothing will be handed on, and each sign-in says so."""
    try:
        from backchannel.aws.background_queue import BackgroundQueue  # noqa: PLC0415

        made = BackgroundQueue(os.environ["SOURCE_EVENTS_QUEUE_URL"])
        made.prepare()
    except Exception:  # noqa: BLE001 - a sign-in must not fail by it
        return None
    return made


queue = _queue()


def handler(event: Any, _: object) -> Any:
    """Hand a sign-in on, if it is one, and return the trigger's event as it is."""
    try:
        _hand_on(event)
    except Exception as error:  # noqa: BLE001 - a sign-in must not fail by it
        _count("internal_error", type(error).__name__)
    return event


def _hand_on(event: Any) -> None:
    from backchannel.webhooks.cognito_sign_ins import message_of  # noqa: PLC0415

    message = message_of(event, round(time.time() * 1000))
    if message is None:
        return
    if queue is None:
        _count("queue_not_configured")
    elif not queue.send(json.dumps(message, separators=(",", ":")), PATIENCE):
        _count("queue_unavailable", queue.last_error)
