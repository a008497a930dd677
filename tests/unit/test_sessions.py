from typing import Any, cast

from backchannel.sessions.events import RpSessionStarted
from backchannel.sessions.table import Sessions


class FakeDynamoDB:
    """Takes what pynamodb asks of a client, and finds nothing."""

    _request_signer = None

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def _make_api_call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, arguments))
        return {"Attributes": {}, "Responses": {"sessions": []}, "UnprocessedKeys": {}}


def test_a_new_start_forgets_what_an_older_one_said_and_it_does_not() -> None:
    dynamodb = FakeDynamoDB()

    Sessions(cast("Any", dynamodb), "sessions").start("https://idp.example", RpSessionStarted("ada", "wiki", 1_000), now=2_000)

    [(operation, arguments), *_] = dynamodb.calls
    removed = arguments["UpdateExpression"].partition("REMOVE ")[2].split(", ")
    names = {arguments["ExpressionAttributeNames"][name] for name in removed}
    assert operation == "UpdateItem"
    assert names == {"sid", "client_sub", "session_expires_at", "untimed"}
