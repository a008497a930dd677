import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel import errors
from backchannel.deliveries.outcomes import (
    PENDING,
    RETRY_AFTER_MAX,
    RETRY_SCHEDULE,
    Outcome,
    Result,
    Status,
    decide,
    may_pass,
    parse_retry_after,
)
from backchannel.errors import RelyingPartyFault
from backchannel.providers.clients import DEADLINE

NOW = 1_788_256_800_000
DAY = DEADLINE * 1000
RETRIED = {408, 425, 429}
SECONDS = {1: 5, 2: 30, 3: 120, 4: 600, 5: 1800, 6: 3600, 7: 7200, 8: 14400, 9: 28800, 10: 28800}
SCHEDULE = {attempts: seconds * 1000 for attempts, seconds in SECONDS.items()}
FAULTS: Mapping[type[RelyingPartyFault], Status] = {
    errors.DnsFailure: Status.UNDELIVERABLE,
    errors.ConnectFailed: Status.UNDELIVERABLE,
    errors.ConnectTimeout: Status.UNDELIVERABLE,
    errors.TlsAborted: Status.UNDELIVERABLE,
    errors.TlsTimeout: Status.UNDELIVERABLE,
    errors.ReadTimeout: Status.UNDELIVERABLE,
    errors.DeadlineExceeded: Status.UNDELIVERABLE,
    errors.ConnectionReset: Status.UNDELIVERABLE,
    errors.AnswerMalformed: Status.UNDELIVERABLE,
    errors.AddressForbidden: Status.BLOCKED,
    errors.TlsFailed: Status.BLOCKED,
    errors.EncryptionKeyUnavailable: Status.BLOCKED,
}
"""What becomes of a delivery whose attempts end in such a fault until the deadline."""

faults = st.sampled_from([kind("what happened") for kind in FAULTS])
results = st.integers(100, 999) | st.sampled_from([200, 204, 400, 429, 500, 503]) | faults


@pytest.mark.parametrize("status_code", range(200, 300))
def test_every_success_is_accepted(status_code: int) -> None:
    assert _decide(status_code) == Outcome(Status.ACCEPTED, f"http_{status_code}")


@pytest.mark.parametrize("status_code", [code for code in range(300, 500) if code not in RETRIED | {400}])
def test_redirects_and_refusals_are_final(status_code: int) -> None:
    assert _decide(status_code) == Outcome(Status.REJECTED, f"http_{status_code}")


@pytest.mark.parametrize("status_code", [*range(100, 200), *range(600, 1000, 50)])
def test_what_is_no_answer_of_http_is_final(status_code: int) -> None:
    assert _decide(status_code).status is Status.REJECTED


@pytest.mark.parametrize("status_code", [*RETRIED, *range(500, 600)])
def test_passing_trouble_is_tried_again(status_code: int) -> None:
    outcome = _decide(status_code)

    assert (outcome.status, outcome.code) == (Status.RETRYING, f"http_{status_code}")


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.code)
def test_one_fault_loses_no_logout_for_good(kind: type[RelyingPartyFault]) -> None:
    outcome = _decide(kind("what happened"))

    assert (outcome.status, outcome.code) == (Status.RETRYING, kind.code)
    assert outcome.delay is not None


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.code)
def test_at_the_deadline_the_status_says_whether_anything_was_sent(kind: type[RelyingPartyFault]) -> None:
    assert _decide(kind("what happened"), attempts=9, age=DAY) == Outcome(FAULTS[kind], kind.code)


def test_every_fault_of_a_relying_party_has_its_row() -> None:
    assert set(FAULTS) == set(RelyingPartyFault.__subclasses__())


@pytest.mark.parametrize("last_status_code", [None, 500, 503, 429])
def test_a_400_gets_one_more_attempt_after_about_a_minute(last_status_code: int | None) -> None:
    outcome = _decide(400, last_status_code=last_status_code)

    assert outcome.status is Status.RETRYING
    assert 48_000 <= (outcome.delay or 0) <= 72_000


def test_a_second_400_is_final() -> None:
    assert _decide(400, attempts=2, last_status_code=400) == Outcome(Status.REJECTED, "http_400")


def test_a_400_does_not_count_as_the_second_one_of_another_refusal() -> None:
    assert _decide(401, attempts=2, last_status_code=400) == Outcome(Status.REJECTED, "http_401")
    assert _decide(503, attempts=2, last_status_code=400).status is Status.RETRYING


@pytest.mark.parametrize(("attempts", "nominal"), SCHEDULE.items())
def test_the_delay_is_the_schedules_give_or_take_a_fifth(attempts: int, nominal: int) -> None:
    delays = {_decide(503, attempts=attempts, seed=seed).delay or 0 for seed in range(200)}

    assert min(delays) >= round(nominal * 0.8)
    assert max(delays) <= round(nominal * 1.2)
    assert max(delays) - min(delays) > nominal * 0.3


def test_the_schedule_ends_after_its_last_row() -> None:
    assert len(RETRY_SCHEDULE) == len(SCHEDULE)
    assert _decide(503, attempts=len(SCHEDULE) + 1) == Outcome(Status.UNDELIVERABLE, "http_503")


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(600_000, 600_000), (3_600_000, 3_600_000), (3_600_001, 3_600_000), (10**15, 3_600_000)]
)
def test_retry_after_is_honoured_up_to_an_hour(retry_after: int, expected: int) -> None:
    assert _decide(429, retry_after=retry_after).delay == expected


@pytest.mark.parametrize("retry_after", [None, 0, 1000])
def test_retry_after_never_makes_an_attempt_earlier(retry_after: int | None) -> None:
    assert 4000 <= (_decide(503, retry_after=retry_after).delay or 0) <= 6000


def test_retry_after_does_not_revive_what_is_final() -> None:
    assert _decide(403, retry_after=60_000) == Outcome(Status.REJECTED, "http_403")


def test_the_last_attempt_is_made_at_the_deadline() -> None:
    assert _decide(503, attempts=10, age=DAY - 100_000).delay == 100_000
    assert _decide(503, attempts=10, age=DAY - 60_000).delay == 60_000


@pytest.mark.parametrize("age", [DAY - 59_999, DAY, 2 * DAY])
@pytest.mark.parametrize("result", [400, 503, errors.ConnectFailed()])
def test_at_the_deadline_a_delivery_is_given_up(result: Result, age: int) -> None:
    assert _decide(result, attempts=3, age=age).status is Status.UNDELIVERABLE


def test_a_client_may_have_its_deliveries_given_up_at_another_age() -> None:
    rng = Random(0)  # noqa: S311 - spreads load, protects nothing

    early, late = (
        decide(503, attempts=3, last_status_code=None, age=3_600_000, deadline=deadline, retry_after=None, rng=rng)
        for deadline in (3_600_000, 259_200_000)
    )

    assert (early.status, late.status) == (Status.UNDELIVERABLE, Status.RETRYING)


@pytest.mark.parametrize("result", [408, 425, 429, 500, 503, errors.ReadTimeout(), errors.DnsFailure()])
def test_passing_trouble_is_what_opens_a_circuit(result: Result) -> None:
    assert may_pass(result)


@pytest.mark.parametrize("result", [200, 204, 302, 400, 401, 404, errors.TlsFailed(), errors.AddressForbidden()])
def test_an_answer_is_no_passing_trouble_even_if_it_is_a_refusal(result: Result) -> None:
    assert not may_pass(result)


def test_an_acceptance_after_the_deadline_is_one() -> None:
    assert _decide(200, attempts=11, age=DAY + 10_000).status is Status.ACCEPTED


@given(
    result=results,
    attempts=st.integers(1, 20),
    last_status_code=st.none() | st.integers(100, 599),
    age=st.integers(0, 2 * DAY),
    retry_after=st.none() | st.integers(0, 10**15),
    seed=st.integers(0),
)
def test_an_attempt_follows_exactly_when_pending_and_never_after_the_deadline(
    result: Result, attempts: int, last_status_code: int | None, *, age: int, retry_after: int | None, seed: int
) -> None:
    outcome = _decide(result, attempts, last_status_code, age=age, retry_after=retry_after, seed=seed)

    assert (outcome.delay is None) == (outcome.status not in PENDING)
    if outcome.delay is not None:
        assert outcome.delay >= 1000
        assert age + outcome.delay <= DAY
        assert outcome.delay <= max(RETRY_AFTER_MAX, max(RETRY_SCHEDULE) * 1.2)


@given(st.lists(st.sampled_from([400, 408, 429, 500, 503, errors.ConnectFailed()]), min_size=12, max_size=12), st.integers(0))
def test_whatever_a_relying_party_answers_it_comes_to_an_end(answers: list[Result], seed: int) -> None:
    age, last_status_code, attempts = 0, None, 0

    for answer in answers:
        attempts += 1
        outcome = _decide(answer, attempts, last_status_code, age=age, seed=seed + attempts)
        if outcome.delay is None:
            break
        age += outcome.delay
        last_status_code = answer if isinstance(answer, int) else None

    assert outcome.status in {Status.REJECTED, Status.UNDELIVERABLE}
    assert attempts <= len(RETRY_SCHEDULE) + 1
    assert age <= DAY


def test_a_client_with_a_later_deadline_is_tried_on_at_the_longest_interval_until_then() -> None:
    age, attempts = 0, 0

    while True:
        attempts += 1
        outcome = _decide(503, attempts, age=age, deadline=2 * DAY, seed=attempts)
        if outcome.delay is None:
            break
        age += outcome.delay

    assert outcome.status is Status.UNDELIVERABLE
    assert 2 * DAY - 60_000 <= age <= 2 * DAY
    assert len(RETRY_SCHEDULE) + 2 < attempts < len(RETRY_SCHEDULE) + 7


def test_a_schedule_without_luck_lasts_nearly_a_day() -> None:
    assert 0.9 * DAY < sum(RETRY_SCHEDULE) <= DAY


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("120", 120_000),
        (" 120 ", 120_000),
        ("999999999", 999_999_999_000),
        ("9" * 10, 9_999_999_999_000),
        ("1" + "0" * 299, 10**302),
        (format_datetime(datetime.fromtimestamp(NOW / 1000 + 90, UTC), usegmt=True), 90_000),
        (format_datetime(datetime.fromtimestamp(NOW / 1000 - 90, UTC), usegmt=True), 0),
        (format_datetime(datetime.fromtimestamp(NOW / 1000 + 90, timezone(timedelta(hours=2)))), 90_000),
        (format_datetime(datetime.fromtimestamp(NOW / 1000 + 90, timezone(timedelta(hours=-5)))), 90_000),
        (datetime.fromtimestamp(NOW / 1000 + 90, UTC).ctime(), 90_000),  # section 5.6.7: obsolete, and always in UTC
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0),  # RFC 9110, section 5.6.7: obsolete, but to be read
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: int) -> None:
    assert parse_retry_after(value, NOW) == expected


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XXX-9")  # POSIX: nine hours ahead, no summer time
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize("date", [datetime.fromtimestamp(NOW / 1000 + 90, UTC).ctime(), "Tue, 01 Sep 2026 10:01:30 -0000"])
def test_a_date_without_a_zone_is_in_utc_wherever_it_is_read(date: str) -> None:
    assert time.localtime(NOW // 1000).tm_hour != time.gmtime(NOW // 1000).tm_hour

    assert parse_retry_after(date, NOW) == 90_000


@pytest.mark.parametrize(
    "value", [None, "", " ", "soon", "-5", "1.5", "1e5", "\u0661\u0662", "12s", "9" * 301, "Mon", "2026-09-01"]
)
def test_anything_else_asks_for_nothing(value: str | None) -> None:
    assert parse_retry_after(value, NOW) is None


@given(
    st.text()
    | st.lists(st.sampled_from(["Mon,", "01", "Jan", "2026", "00:00:00", "+9999", "GMT", "9" * 20, "-", "\x1c"])).map(" ".join)
)
@example("Mon, 01 Jan 99999999999 00:00:00 GMT")
@example("Mon, 01 Jan 2026 99999999999999999999:00:00 GMT")
@example("Mon, 01 Jan 2026 00:00:00 -99999999999999999999999")
@example("9\x1c")
def test_a_retry_after_that_overflows_is_garbage_and_no_error_of_ours(value: str) -> None:
    delay = parse_retry_after(value, NOW)

    assert delay is None or delay >= 0


def _decide(
    result: Result,
    attempts: int = 1,
    last_status_code: int | None = None,
    *,
    age: int = 0,
    deadline: int = DAY,
    retry_after: int | None = None,
    seed: int = 0,
) -> Outcome:
    return decide(
        result,
        attempts=attempts,
        last_status_code=last_status_code,
        age=age,
        deadline=deadline,
        retry_after=retry_after,
        rng=Random(seed),  # noqa: S311 - spreads load, protects nothing
    )
