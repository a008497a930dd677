"""`python -m tests.load.batches`: how long Okta and Auth0 wait for the answer to a thousand events. Okta waits three seconds."""

import copy
import json
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

import boto3

from backchannel.webhooks.batches import MAX_EVENTS
from local.client import Stack
from tests.support.mutations import EVENTS
from tests.support.polling import until

LIMIT = 3.0
"""Seconds that Okta waits."""

TENANT = f"bench-{secrets.token_hex(4)}.example"
"""The host that Auth0's logins name: that of the issuer."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _sample(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def okta(name: str) -> bytes:
    """Return a thousand events like a sample, each of a user of its own and as large as Okta's."""
    hook = _sample(f"okta-eventhook-{name}")
    (like,) = hook["data"]["events"]
    events = []
    for _ in range(MAX_EVENTS):
        event, user = copy.deepcopy(like), secrets.token_hex(10)
        event |= {"uuid": secrets.token_hex(16), "published": _now()}
        for who in (event["actor"], *event["target"]):
            who["id"] = user if who["type"] == "User" else who["id"]
        events.append(event)
    return json.dumps({**hook, "data": {"events": events}}).encode()


def auth0(name: str) -> bytes:
    """Return a thousand logs like a sample, each of a user and a session of its own, as JSON lines."""
    (like,) = _sample(f"auth0-logstream-{name}")
    lines = []
    for _ in range(MAX_EVENTS):
        item = copy.deepcopy(like)
        item["log_id"] = item["data"]["log_id"] = secrets.token_hex(16)
        item["data"] |= {"date": _now(), "user_id": secrets.token_hex(10), "hostname": TENANT}
        item["data"]["details"]["session_id"] = secrets.token_hex(10)
        lines.append(json.dumps(item))
    return "\n".join(lines).encode()


BATCHES = (
    ("okta", okta, "user.authentication.sso"),
    ("auth0", auth0, "s"),
    ("okta", okta, "user.lifecycle.deactivate"),
    ("auth0", auth0, "slo"),
)


def wait_until_done(stack: Stack) -> None:
    """Wait until what a batch caused is carried out: its sender would not send the next at once, on the same two cores."""
    sqs = boto3.client("sqs", endpoint_url=stack.endpoint_url, region_name=stack.region)
    wanted: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def waiting() -> int:
        urls = [stack.queues[name] for name in ("SourceEventsQueue", "SessionEndedQueue")]
        found = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"] for url in urls]
        return sum(int(each[name]) for each in found for name in wanted)

    until(waiting, holds=lambda count: count == 0, seconds=300, every=1)


def main() -> int:
    stack, provider = Stack.load(), f"bench-{secrets.token_hex(4)}"
    secret, worst = f"Bearer {secrets.token_urlsafe(24)}", 0.0
    stack.admin("PUT", f"/providers/{provider}", {"issuer": f"https://{TENANT}/"})
    for source in ("okta", "auth0"):
        stack.admin("PUT", f"/providers/{provider}/sources/{source}", {"format": source, "secret": secret})
    for source, make, name in BATCHES:
        body, began = make(name), time.perf_counter()
        answer = stack.request("POST", f"/webhooks/{provider}/{source}", body=body, headers={"Authorization": secret})
        waited = time.perf_counter() - began
        print(f"batch of {MAX_EVENTS} of {source}, {name}, {len(body) / 2**20:.1f} MiB: {waited:.2f} s (at most {LIMIT})")
        if answer.status != 200 or answer.body["ignored"]:
            sys.exit(f"batches: the service answered {answer.status}: {answer.body}")
        worst = max(worst, waited)
        wait_until_done(stack)
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
