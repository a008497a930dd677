"""A report as a person reads it."""

import json
from collections.abc import Iterator
from textwrap import wrap

from backchannel_cli.output import Column, Output
from backchannel_cli.receiver_check.good_cases import GOOD
from backchannel_cli.receiver_check.issuer import DISCOVERY_PATH, JWKS_PATH
from backchannel_cli.receiver_check.report import Report, Result
from backchannel_cli.receiver_check.verdicts import Verdict, says

COLUMNS = (Column("case", "case"), Column("token", "token"), Column("answer", "status"), Column("verdict", "verdict"))
WIDTH = 96
_INDENT = "  "


def show(report: Report, output: Output) -> None:
    """Print the table of cases, then each that is not as it should be with its meaning and the specification's words."""
    if output.is_json:
        output.document(report.document())
        return
    fetched = f"discovery fetched {report.fetched.get(DISCOVERY_PATH, 0)} x, keys {report.fetched.get(JWKS_PATH, 0)} x"
    output.line(f"relying party  {report.relying_party}")
    output.line(f"issuer         {report.issuer} ({fetched})")
    output.line(f"client         {report.client_id}, {report.alg}")
    output.line("")
    output.items(report.document()["cases"], COLUMNS)
    for line in lines(report):
        output.line(line)


def lines(report: Report) -> Iterator[str]:
    """Yield what is printed below the table."""
    order = list(Verdict)
    remarkable = [result for result in report.results if report.meaning(result)]
    for result in sorted(remarkable, key=lambda each: order.index(report.verdict(each))):
        yield ""
        yield f"{report.verdict(result)}: {result.case.name}"
        yield from _about(report, result)
    for sentence in report.general():
        yield ""
        yield from wrap(sentence, WIDTH)
    yield ""
    yield f"outcome: {report.outcome}"


def _about(report: Report, result: Result) -> Iterator[str]:
    yield from _indented(report.meaning(result))
    if result.case is GOOD:
        if words := says(result.answer):
            yield from _indented(f"It says: {words}")
        for part, members in report.claims.items():
            yield from _indented(f"Our {part}: {json.dumps(members)}")
    elif report.verdict(result) is not Verdict.NO_ANSWER:
        yield from _indented(f"{result.case.words.section}: {result.case.words.text}")


def _indented(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)
