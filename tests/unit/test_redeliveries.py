import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.api import redeliveries
from backchannel.api.resolver import app
from backchannel.aws.dynamodb import Page
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.table import STRANDED
from tests.support.deployed import CONTEXT
from tests.support.queues import FakeQueue

OPERATOR = "arn:aws:iam::000000000000:user/ops"
NOW = 1_788_256_800_000
WAITING = DeliveryRecord(
    provider="acme",
    issuer="https://idp.example",
    logout_id="0" * 40,
    client_id="wiki",
    sid="sid-1",
    sub="ada",
    client_sub=None,
    status=Status.RETRYING,
    attempts=1,
    created_at=NOW - 10_000,
    ended_at=NOW - 10_000,
    updated_at=NOW - 10_000,
    next_attempt_at=NOW + 60_000,
)
STRANDED_SINCE = replace(WAITING, updated_at=NOW - STRANDED - 2, next_attempt_at=NOW - STRANDED - 1)


@dataclass
class Operator:
    """Asks for the redelivery of a logout with one delivery."""

    record: DeliveryRecord
    queue: FakeQueue = field(default_factory=FakeQueue)

    def of_logout(self, *_: object) -> Page[DeliveryRecord]:
        return Page([self.record], None)

    def hasten(self, record: DeliveryRecord, now: int, *, requested_by: str) -> bool:
        assert requested_by == OPERATOR
        self.record = replace(record, next_attempt_at=None, updated_at=now)
        return True

    def reopen(self, record: DeliveryRecord, now: int, *, requested_by: str, **_: bool) -> bool:
        assert requested_by == OPERATOR
        self.record = replace(record, status=Status.QUEUED, next_attempt_at=None, updated_at=now)
        return True

    def ask(self, **body: object) -> Any:
        anything = SimpleNamespace(get=lambda *_: SimpleNamespace(issuer="https://idp.example"))
        using = SimpleNamespace(providers=anything, logouts=anything, deliveries=self, delivery_queue=self.queue)
        app.append_context(dependencies=using)
        event: Any = {
            "httpMethod": "POST",
            "path": f"/providers/acme/logouts/{'0' * 40}/redeliveries",
            "headers": {"Content-Type": "application/json"},
            "multiValueHeaders": {"Content-Type": ["application/json"]},
            "body": json.dumps(body),
            "requestContext": {"stage": "live", "identity": {"userArn": OPERATOR}},
        }
        answer = json.loads(app.resolve(event, CONTEXT)["body"])  # type: ignore[arg-type]
        return answer["queued"], answer["skipped"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=NOW)
    monkeypatch.setattr(redeliveries, "now", lambda: clock.now)
    return clock


def test_a_wish_to_hasten_that_is_repeated_queues_one_message(clock: SimpleNamespace) -> None:
    operator = Operator(WAITING)

    answers = []
    for _ in range(3):
        answers.append(operator.ask(now=True))
        clock.now += 1000

    assert answers == [(1, {}), (0, {"waiting": 1}), (0, {"waiting": 1})]
    assert len(operator.queue.sent) == 1


@pytest.mark.parametrize("due", [None, NOW - 1, NOW])
def test_a_delivery_that_is_due_already_is_not_hastened(due: int | None) -> None:
    assert Operator(replace(WAITING, next_attempt_at=due)).ask(now=True) == (0, {"waiting": 1})


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize(
    ("statuses", "answer"),
    [(["blocked"], (0, {"waiting": 1})), (["blocked", "retrying"], (1, {})), (None, (1, {}))],
)
def test_a_stranded_delivery_is_sent_again_only_if_its_status_is_wanted(
    statuses: list[str] | None,
    answer: tuple[int, dict[str, int]],
    now: bool,  # noqa: FBT001 - drawn
) -> None:
    assert Operator(STRANDED_SINCE).ask(statuses=statuses, now=now) == answer
