"""The report as JUnit's XML, which build servers read: a case that fails is a failing test."""

import re
from xml.etree import ElementTree as ET

from backchannel_cli.receiver_check.probe import LoginEnd
from backchannel_cli.receiver_check.report import Outcome, Report, is_failure
from backchannel_cli.receiver_check.verdicts import Verdict

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


def junit(report: Report) -> str:
    document = report.document()
    suite = ET.Element("testsuite", name="backchannel check", hostname=_text(report.relying_party))
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for case in document["cases"]:
        counts["tests"] += 1
        test = ET.SubElement(
            suite, "testcase", classname="receiver-check", name=case["case"], time=f"{case['milliseconds'] / 1000:.3f}"
        )
        said = _text(f"{case['meaning']}\n{case['section']}: {case['words']}\nAnswer: {case['status']} {case['says']}")
        if is_failure(case["verdict"]):
            counts["failures"] += 1
            ET.SubElement(test, "failure", type=case["verdict"], message=_text(case["meaning"])).text = said
        elif case["verdict"] == Verdict.NO_ANSWER:
            counts["errors"] += 1
            ET.SubElement(test, "error", type=case["verdict"], message=_text(case["meaning"])).text = said
        elif case["verdict"] == Verdict.UNPROVEN:
            counts["skipped"] += 1
            ET.SubElement(test, "skipped", message="unproven: the good token is refused as well")
        elif case["meaning"]:
            ET.SubElement(test, "system-out").text = said
    if document["login"] is not None:
        counts["tests"] += 1
        test = ET.SubElement(suite, "testcase", classname="receiver-check", name="login-ended", time="0.000")
        if document["login"]["end"] != LoginEnd.ENDED:
            counts["failures"] += 1
            ET.SubElement(test, "failure", type=Outcome.LOGIN_DID_NOT_END, message=f"Login: {document['login']['end']}.")
    for name, count in counts.items():
        suite.set(name, str(count))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


def _text(text: str) -> str:
    return _NO_XML.sub("�", text)
