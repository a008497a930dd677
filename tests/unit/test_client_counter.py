"""Counting outcomes by client, beside deliveries that must not notice."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest

from backchannel.deliveries.client_counter import MOST, PAUSE, RESERVE, ClientCounter
from backchannel.deliveries.client_counts import ClientCounts, ClientDay
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.verdicts import Done, Measured, Postponed, RetryIn, Verdict
from backchannel.errors import StorageUnavailable
from tests.unit.conftest import Log

NOW = 1_788_256_800_000
DAY = "2026-09-01"
MEASURED = Measured(signing_ms=10.0, post_ms=20.0, since_end_ms=1024)

pytestmark = pytest.mark.usefixtures("no_metrics", "log")


@dataclass
class Recorded:
    """Remembers what is added, unless it is broken for a client."""

    failures: dict[str, Exception] = field(default_factory=dict)
    added: list[tuple[ClientDay, Counter[str]]] = field(default_factory=list)
    tries: int = 0

    def add(self, of: ClientDay, tally: Mapping[str, int], shard: int) -> None:  # noqa: ARG002
        self.tries += 1
        if of.client_id in self.failures:
            raise self.failures[of.client_id]
        self.added.append((of, Counter(tally)))

    @property
    def sums(self) -> dict[str, Counter[str]]:
        sums: dict[str, Counter[str]] = {}
        for of, tally in self.added:
            sums.setdefault(of.client_id, Counter()).update(tally)
        return sums


@pytest.fixture
def counts() -> Recorded:
    return Recorded()


@pytest.fixture
def counter(counts: Recorded) -> ClientCounter:
    return ClientCounter(lambda: cast("ClientCounts", counts))


def accepted(client_id: str = "wiki") -> Done:
    return Done(Outcome(Status.ACCEPTED, "http_200"), MEASURED, ("https://idp.example", client_id))


def retrying(client_id: str = "wiki") -> RetryIn:
    return RetryIn(5000, Outcome(Status.RETRYING, "http_503", 5000), MEASURED, ("https://idp.example", client_id))


def count(counter: ClientCounter, *batch: Verdict | None, now: int = NOW, time_left: int = RESERVE) -> None:
    counter.count(batch, now, time_left=time_left)


def test_a_batch_is_counted_with_one_write_for_each_client(counter: ClientCounter, counts: Recorded) -> None:
    count(counter, accepted(), retrying(), accepted("mail"), accepted())

    assert dict(counts.added) == {
        ClientDay("https://idp.example", "wiki", DAY): {"accepted": 2, "ms:40": 2, "attempt:http_503": 1},
        ClientDay("https://idp.example", "mail", DAY): {"accepted": 1, "ms:40": 1},
    }


@pytest.mark.parametrize("verdict", [None, Postponed(), Done(), RetryIn(10_000), RetryIn(10_000, measured=MEASURED)])
def test_what_was_not_recorded_is_not_counted(counter: ClientCounter, counts: Recorded, verdict: Verdict | None) -> None:
    count(counter, verdict)

    assert counts.tries == 0


def test_an_outcome_that_is_no_count_causes_no_write(counter: ClientCounter, counts: Recorded) -> None:
    waits = Outcome(Status.QUEUED, "client_paused", 60_000)

    count(counter, RetryIn(60_000, waits, None, ("https://idp.example", "wiki")))

    assert counts.tries == 0


@pytest.mark.parametrize("failure", [StorageUnavailable("throttled"), OSError("no socket")])
def test_a_failure_to_count_is_logged_and_kept_for_a_later_batch(
    counter: ClientCounter, counts: Recorded, log: Log, failure: Exception
) -> None:
    counts.failures["wiki"] = failure
    count(counter, accepted(), accepted("mail"))
    tries = counts.tries
    count(counter, accepted("mail"), now=NOW + PAUSE - 1)
    assert counts.tries == tries, "nobody waits for the table meanwhile"
    counts.failures.clear()

    count(counter, accepted(), now=NOW + PAUSE)

    assert {name: tally["accepted"] for name, tally in counts.sums.items()} == {"wiki": 2, "mail": 2}, "nothing is lost"
    (line,) = [line for line in log.lines if line["message"] == "client.not_counted"]
    assert (line["code"], line["clients"]) == ("storage_unavailable" if isinstance(failure, StorageUnavailable) else "OSError", 1)


def test_a_table_that_cannot_be_reached_at_all_fails_no_batch(log: Log) -> None:
    def broken() -> ClientCounts:
        raise OSError("no socket")

    count(ClientCounter(broken), accepted(), accepted("mail"))

    assert [(line["message"], line["clients"]) for line in log.lines] == [("client.not_counted", 2)]


def test_a_batch_without_time_left_is_counted_with_a_later_one(counter: ClientCounter, counts: Recorded) -> None:
    count(counter, accepted(), time_left=RESERVE - 1)
    assert counts.tries == 0

    count(counter, Done(), now=NOW + 86_400_000)

    assert [(of.day, tally["accepted"]) for of, tally in counts.added] == [(DAY, 1)]


def test_a_batch_writes_for_few_clients_its_own_first(counter: ClientCounter, counts: Recorded) -> None:
    count(counter, *(accepted(f"client-{number}") for number in range(100)), time_left=0)

    count(counter, accepted("wiki"))

    assert counts.tries == MOST
    assert "wiki" in counts.sums
    for _ in range(100 // MOST):
        count(counter, None)
    assert len(counts.sums) == 101
