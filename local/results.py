"""`python -m local.results unit stack-main …` sums up the JUnit files that suites, or parts of them, left in .local/results."""

import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / ".local" / "results"


def count(name: str) -> Counter[str]:
    """Count the outcomes of a suite or a part; one that left no file did not run, which is a failure."""
    report = RESULTS / f"{name}.xml"
    if not report.exists():
        return Counter(failed=1)
    outcomes: Counter[str] = Counter()
    for run in ET.parse(report).iter("testsuite"):  # noqa: S314 - our own pytest wrote it
        tests, failures, errors, skipped = (int(run.attrib[key]) for key in ("tests", "failures", "errors", "skipped"))
        outcomes += Counter(passed=tests - failures - errors - skipped, failed=failures + errors, skipped=skipped)
    return outcomes


def words(outcomes: Counter[str]) -> str:
    skipped = f", {outcomes['skipped']} skipped" if outcomes["skipped"] else ""
    return f"{outcomes['passed']} passed, {outcomes['failed']} failed{skipped}"


if __name__ == "__main__":
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name in sys.argv[1:]:
        counts[name.partition("-")[0]] += count(name)
    print()
    for suite, outcomes in counts.items():
        print(f"{suite:<9} {words(outcomes)}")
    print(words(sum(counts.values(), Counter())))
