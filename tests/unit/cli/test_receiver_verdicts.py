"""What an answer means, row by row."""

from dataclasses import replace

import pytest

from backchannel_cli.receiver_check.case import Case, Expectation
from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.good_cases import GOOD, GOOD_CASES
from backchannel_cli.receiver_check.report import Outcome, Report, Result
from backchannel_cli.receiver_check.sending import Answer, NoAnswer
from backchannel_cli.receiver_check.verdicts import SHOWN_AT_MOST, WAYS, Verdict, judge, remark, says, way

ACCEPT, REFUSE = Expectation.ACCEPT, Expectation.REFUSE


def case(expects: Expectation, *, is_required: bool = True) -> Case:
    return replace(GOOD, expects=expects, is_required=is_required)


@pytest.mark.parametrize(
    ("expects", "is_required", "status", "proves", "verdict"),
    [
        (ACCEPT, True, 200, True, Verdict.OK),
        (ACCEPT, True, 204, False, Verdict.OK),
        (ACCEPT, True, 400, True, Verdict.REFUSES_GOOD),
        (ACCEPT, True, 302, False, Verdict.UNPROVEN),
        (ACCEPT, False, 400, True, Verdict.PARTICULAR),
        (ACCEPT, False, 400, False, Verdict.UNPROVEN),
        (REFUSE, True, 400, True, Verdict.OK),
        (REFUSE, True, 500, True, Verdict.OK),
        (REFUSE, True, 400, False, Verdict.UNPROVEN),
        (REFUSE, False, 404, False, Verdict.UNPROVEN),
        (REFUSE, True, 200, True, Verdict.CARELESS),
        (REFUSE, True, 204, False, Verdict.CARELESS),
        (REFUSE, True, 299, True, Verdict.CARELESS),
        (REFUSE, True, 300, True, Verdict.OK),
        (REFUSE, False, 200, True, Verdict.LENIENT),
    ],
)
def test_a_verdict_follows_from_the_status(
    *, expects: Expectation, is_required: bool, status: int, proves: bool, verdict: Verdict
) -> None:
    assert judge(case(expects, is_required=is_required), Answer(status), proves=proves) is verdict


@pytest.mark.parametrize("expects", Expectation)
def test_no_answer_is_a_verdict_of_its_own(expects: Expectation) -> None:
    assert judge(case(expects), NoAnswer("late"), proves=True) is Verdict.NO_ANSWER


@pytest.mark.parametrize(
    ("expects", "status", "words"),
    [
        (ACCEPT, 200, ""),
        (ACCEPT, 204, ""),
        (ACCEPT, 201, "Success is 200 or 204"),
        (ACCEPT, 400, ""),
        (REFUSE, 400, ""),
        (REFUSE, 401, "Refused with 401"),
        (REFUSE, 503, "tries again"),
    ],
)
def test_a_status_that_is_not_the_usual_one_is_remarked(expects: Expectation, status: int, words: str) -> None:
    remarked = remark(case(expects), Answer(status))

    assert words in remarked
    assert bool(words) == bool(remarked)


@pytest.mark.parametrize("status", [*WAYS, 400, 418, 500, 503])
def test_every_status_of_a_refused_good_token_has_a_meaning(status: int) -> None:
    assert way(Answer(status)).endswith(".")


def test_a_redirect_says_where_to_without_moving_the_cursor() -> None:
    assert way(Answer(302, {"location": "/login\x1b[2J"})).endswith("It leads to /login\\x1b[2J")


@pytest.mark.parametrize(
    ("headers", "body", "shown"),
    [
        ({}, b"", ""),
        ({}, b"plain\r\n  words", "plain words"),
        ({}, b'{"error": "e", "error_description": "d"}', "e: d"),
        ({}, b'{"error": "e", "error_description": 1}', "e"),
        ({}, b'{"error": {"code": 1}}', '{"error": {"code": 1}}'),
        ({}, b'{"error": "\\ud800"}', "\\ud800"),
        ({}, b"[" * 10_000, "[" * (SHOWN_AT_MOST - 1) + "…"),
        ({}, b"\xff\x00", "�\\x00"),
        ({"content-type": "text/html"}, b"<!doctype html><title>No</title><script>x()</script><p>Not&nbsp;here", "No Not here"),
        ({"content-type": "text/html"}, b"<" * 16_000, "<" * (SHOWN_AT_MOST - 1) + "…"),
    ],
)
def test_what_a_relying_party_says_is_short_and_plain(headers: dict[str, str], body: bytes, shown: str) -> None:
    assert says(Answer(400, headers, body)) == shown


GOOD_ONES: list[Answer | NoAnswer] = [Answer(200 if case.name.startswith("good") else 400) for case in GOOD_CASES]
BAD_ONES = len(CASES) - len(GOOD_ONES)


def report(*answers: Answer | NoAnswer) -> Report:
    results = tuple(Result(case, answer) for case, answer in zip(CASES, answers, strict=False))
    return Report("http://rp.example/", "http://127.0.0.1:9400", "rp", "RS256", {}, results, {})


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([], Outcome.UNREACHABLE),
        ([NoAnswer("late")], Outcome.UNREACHABLE),
        ([Answer(400)], Outcome.REFUSES_GOOD),
        ([Answer(200)], Outcome.INCOMPLETE),
        (GOOD_ONES + [Answer(400)] * BAD_ONES, Outcome.AS_IT_SHOULD_BE),
        (GOOD_ONES + [Answer(400)] * (BAD_ONES - 1), Outcome.INCOMPLETE),
        (GOOD_ONES + [Answer(400)] * (BAD_ONES - 1) + [NoAnswer("late")], Outcome.INCOMPLETE),
        ([*GOOD_ONES[:2], Answer(400), *GOOD_ONES[3:], *[Answer(400)] * BAD_ONES], Outcome.UNPROVEN),
        ([Answer(200)] * len(CASES), Outcome.CARELESS),
        ([Answer(400)] + [Answer(200)] * (len(CASES) - 1), Outcome.CARELESS),
    ],
)
def test_the_outcome_is_the_worst_of_the_verdicts(answers: list[Answer | NoAnswer], outcome: Outcome) -> None:
    assert report(*answers).outcome is outcome


def test_a_relying_party_that_stopped_answering_is_said_to_have_done_so() -> None:
    sentences = " ".join(report(Answer(200), NoAnswer("late"), NoAnswer("late"), NoAnswer("late")).general())

    assert f"4 of {len(CASES)} cases were sent" in sentences
