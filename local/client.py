"""Calls the deployed service as its users do: the operator with SigV4, the identity provider with signed webhooks."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from standardwebhooks import Webhook

STACK_FILE = Path(".local", os.environ.get("LOCAL_STACK", ""), "stack.json")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the service."""

    status: int
    body: Any
    headers: dict[str, str]


class Stack:
    """The deployed service, by its ``.local/stack.json``."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.api_url: str = description["api_url"]
        self.endpoint_url: str = description["endpoint_url"]
        self.region: str = description["region"]
        self.queues: dict[str, str] = description["queues"]
        self.tables: dict[str, str] = description["tables"]
        self.functions: dict[str, str] = description["functions"]
        self._http = urllib3.PoolManager(maxsize=32, timeout=30, retries=False)

    @classmethod
    def load(cls) -> Self:
        """Return the stack that `make up` has started."""
        return cls(json.loads(STACK_FILE.read_text()))

    def admin(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        """Make a request of the operator; return status and body."""
        response = self.request(method, path, json, signed=True)
        return response.status, response.body

    def request(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        signed: bool = False,
    ) -> Response:
        """Make any request."""
        content = body if json_body is None else json.dumps(json_body).encode()
        sent = dict(headers or {})
        if content:
            sent.setdefault("Content-Type", "application/json")
        if signed:
            request = AWSRequest(method, self.api_url + path, data=content, headers=sent)
            SigV4Auth(Credentials("test", "test"), "execute-api", self.region).add_auth(request)
            sent = dict(request.headers)
        answer = self._http.request(method, self.api_url + path, body=content, headers=sent)
        return Response(
            answer.status,
            json.loads(answer.data) if answer.data else None,
            {name.lower(): value for name, value in answer.headers.items()},
        )

    def webhook(self, provider: str, source: str, secret: str, event_id: str, event: dict[str, Any]) -> Response:
        """Send an event as a Standard Webhooks sender does."""
        body = json.dumps(event)
        now = datetime.now(UTC)
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(event_id, now, body),
        }
        return self.request("POST", f"/webhooks/{provider}/{source}", body=body.encode(), headers=headers)


def event(kind: str, at: datetime | None = None, **data: Any) -> dict[str, Any]:
    """Return a generic event of this moment."""
    return {"type": kind, "timestamp": (at or datetime.now(UTC)).isoformat(), "data": data}
