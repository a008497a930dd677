from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws.sqs import BACKOFF, BACKOFF_MAX, Outgoing, Queue, SqsRecord, backoff
from backchannel.errors import QueueUnavailable
from tests.unit.fakes import Steady

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "SendMessageBatch")
UNREACHABLE = EndpointConnectionError(endpoint_url="https://sqs.example")
RECORD = SqsRecord("m1", "body", "receipt", "arn", receive_count=1, sent_at=0)


class FakeSqs:
    """Takes batches; ``refuse`` says which entries of the nth batch are reported as failed."""

    def __init__(self, refuse: Callable[[int, str], bool] = lambda _, __: False, error: Exception | None = None) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.taken: list[str] = []
        self.visibility: list[dict[str, Any]] = []
        self._refuse = refuse
        self._error = error

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == "url"
        if self._error is not None:
            raise self._error
        self.batches.append(list(Entries))
        refused = [entry for entry in Entries if self._refuse(len(self.batches), entry["MessageBody"])]
        self.taken += [entry["MessageBody"] for entry in Entries if entry not in refused]
        answer: dict[str, Any] = {"Successful": []}
        return {**answer, "Failed": [{"Id": entry["Id"]} for entry in refused]} if refused else answer

    def change_message_visibility(self, **call: Any) -> None:
        if self._error is not None:
            raise self._error
        self.visibility.append(call)


def test_messages_are_sent_ten_at_a_time() -> None:
    sqs = FakeSqs()

    _queue(sqs).send(_messages(25))

    assert [len(batch) for batch in sqs.batches] == [10, 10, 5]
    assert sqs.taken == [f"body-{number}" for number in range(25)]


def test_long_messages_are_sent_in_smaller_batches() -> None:
    sqs, long = FakeSqs(), "\N{LATIN SMALL LETTER E WITH ACUTE}" * 50_000

    _queue(sqs).send([Outgoing(each, ("idp",)) for each in (long, "short", long, long, "short")])

    assert [len(batch) for batch in sqs.batches] == [3, 2]
    assert sqs.taken == [long, "short", long, long, "short"]


def test_the_entries_of_a_batch_have_ids_of_their_own() -> None:
    sqs = FakeSqs()

    _queue(sqs).send(_messages(10))

    assert len({entry["Id"] for entry in sqs.batches[0]}) == 10


def test_nothing_to_send_is_no_call() -> None:
    sqs = FakeSqs()

    _queue(sqs).send([])

    assert sqs.batches == []


def test_what_a_batch_leaves_over_is_sent_again() -> None:
    sqs = FakeSqs(refuse=lambda batch, body: batch == 1 and body in {"body-1", "body-7"})

    _queue(sqs).send(_messages(10))

    assert [entry["MessageBody"] for entry in sqs.batches[1]] == ["body-1", "body-7"]
    assert sorted(sqs.taken) == sorted(f"body-{number}" for number in range(10))


@given(st.integers(0, 24), st.lists(st.frozensets(st.integers(0, 24)), max_size=3))
def test_every_message_is_sent_once_whatever_a_batch_leaves_over(count: int, refusals: list[frozenset[int]]) -> None:
    tries: dict[str, int] = {}

    def refuse(_: int, body: str) -> bool:
        tries[body] = tries.get(body, 0) + 1
        return tries[body] <= len(refusals) and int(body.removeprefix("body-")) in refusals[tries[body] - 1]

    sqs = FakeSqs(refuse)
    _queue(sqs).send(_messages(count))

    assert sorted(sqs.taken) == sorted(f"body-{number}" for number in range(count))


def test_what_is_never_taken_is_given_up_visibly() -> None:
    sqs = FakeSqs(refuse=lambda _, body: body == "body-3")

    with pytest.raises(QueueUnavailable, match="1 messages"):
        _queue(sqs).send(_messages(10))

    assert len(sqs.batches) == 4
    assert "body-3" not in sqs.taken


@pytest.mark.parametrize(("error", "code"), [(THROTTLED, "ThrottlingException"), (UNREACHABLE, "EndpointConnectionError")])
def test_a_queue_that_does_not_answer_is_an_internal_failure_with_its_code(error: Exception, code: str) -> None:
    with pytest.raises(QueueUnavailable, match=code):
        _queue(FakeSqs(error=error)).send(_messages(1))
    with pytest.raises(QueueUnavailable, match=code):
        _queue(FakeSqs(error=error)).give_back(RECORD, 5000)


@pytest.mark.parametrize(("delay", "expected"), [(-1, 0), (0, 0), (1, 1), (900_000, 900), (901_000, 900), (28_800_000, 900)])
def test_a_delay_is_what_sqs_can_hold_back(delay: int, expected: int) -> None:
    sqs = FakeSqs()

    _queue(sqs).send([Outgoing("body", ("idp", "wiki"), delay)])

    assert sqs.batches[0][0]["DelaySeconds"] == expected


@pytest.mark.parametrize(("delay", "expected"), [(-1, 0), (0, 0), (1001, 2), (43_200_000, 43_200), (86_400_000, 43_200)])
def test_a_message_is_given_back_for_as_long_as_sqs_can(delay: int, expected: int) -> None:
    sqs = FakeSqs()

    _queue(sqs).give_back(RECORD, delay)

    assert sqs.visibility == [{"QueueUrl": "url", "ReceiptHandle": "receipt", "VisibilityTimeout": expected}]


def test_a_client_has_one_group_whose_name_sqs_allows() -> None:
    sqs = FakeSqs()
    tenants = [("idp", "wiki"), ("idp", "wiki"), ("idp", "mail"), ("other", "wiki"), ("idp", "a" * 255), ("idp", "用户 #?")]

    _queue(sqs).send(Outgoing("body", tenant) for tenant in tenants)

    groups = [entry["MessageGroupId"] for entry in sqs.batches[0]]
    assert groups[0] == groups[1]
    assert len(set(groups)) == len(tenants) - 1
    assert all(group.isalnum() and len(group) <= 128 for group in groups)


def _queue(sqs: FakeSqs) -> Queue:
    return Queue(cast("SQSClient", sqs), "url")


def _messages(count: int) -> list[Outgoing]:
    return [Outgoing(f"body-{number}", ("idp", "wiki")) for number in range(count)]


def test_an_internal_failure_has_a_message_wait_longer_each_time_for_a_day() -> None:
    delays = [backoff(times, Steady()) for times in range(1, 101)]

    assert delays[0] == BACKOFF
    assert delays == sorted(delays)
    assert delays[-1] == BACKOFF_MAX
    assert sum(delays) > 23 * 3_600_000


@pytest.mark.parametrize(("overdue", "delay"), [(0, 10_000), (10_000, 10_000), (70_000, 70_000), (5_000_000, 900_000)])
def test_a_message_that_came_often_for_other_reasons_waits_as_long_as_it_is_overdue(overdue: int, delay: int) -> None:
    assert backoff(9, Steady(), overdue) == delay
    assert backoff(1, Steady(), overdue) == BACKOFF


def test_what_met_the_same_fault_at_once_does_not_come_again_at_once() -> None:
    rng = Random(0)  # noqa: S311 - spreads load, protects nothing

    delays = {backoff(7, rng) for _ in range(100)}

    assert 512_000 <= min(delays) < 600_000
    assert 680_000 < max(delays) <= 768_000
