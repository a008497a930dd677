"""What an answer to a case means."""

import html
import json
import re
from collections.abc import Mapping
from enum import StrEnum

from backchannel_cli.output import clean
from backchannel_cli.receiver_check.case import Case, Expectation
from backchannel_cli.receiver_check.sending import Answer, NoAnswer

SHOWN_AT_MOST = 200
"""Characters of what a relying party says."""
EXPECTED_SUCCESSES = frozenset({200, 204})
BAD_REQUEST = 400
BUSY = frozenset({429, 502, 503, 504})
"""What is answered before anybody has looked at the token: a limit of the rate, a proxy without the relying party."""
SERVER_ERRORS = 500


class Verdict(StrEnum):
    """The verdicts on one case, the worst first."""

    CARELESS = "careless"
    REFUSES_GOOD = "refuses good"
    NO_ANSWER = "no answer"
    LENIENT = "lenient"
    PARTICULAR = "particular"
    UNPROVEN = "unproven"
    OK = "ok"


FAILURES = frozenset({Verdict.CARELESS, Verdict.REFUSES_GOOD})

WAYS: Mapping[int, str] = {
    301: "It redirects: the path is another, or https is wanted. A sender follows no redirect. Give the final URL.",
    302: "A login wall: whoever is not logged in is redirected. Exempt this path from it: a logout request has no cookie.",
    303: "A login wall: whoever is not logged in is redirected. Exempt this path from it: a logout request has no cookie.",
    307: "It redirects: the path is another, https is wanted, or it is a login wall. A sender follows no redirect.",
    308: "It redirects: the path is another, or https is wanted. A sender follows no redirect. Give the final URL.",
    401: "A filter before the endpoint wants credentials. Exempt this path from it: the token is the credential.",
    403: "A filter before the endpoint refuses: protection from CSRF, a firewall, a list of addresses. Exempt this path from it.",
    404: "There is nothing at this path. Compare it with the route of the endpoint, and with what a proxy adds or removes.",
    405: "The path is there, but takes no POST. Perhaps it is that for users' browsers.",
    411: "A proxy before the endpoint refuses the request's length.",
    413: "A proxy before the endpoint finds the request too long: a logout token has about 1 kB.",
    415: "The form is not parsed: the endpoint has to read application/x-www-form-urlencoded.",
    429: "It limits the rate of requests. Exempt this path from it: a mass logout sends many at a time.",
}
"""What a status says about the way to the endpoint, if the good token gets it."""

REFUSED = "The endpoint read the token and refused it. Compare what it says with the claims of the good token."
BROKEN = "The relying party fails itself. Its log says why."
UNKNOWN_STATUS = "No specification gives this status a meaning here."


_TAG = re.compile(r"<(style|script)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)
"""Takes linear time, whatever a hostile page has."""


def judge(case: Case, answer: Answer | NoAnswer, *, proves: bool) -> Verdict:
    """Return the verdict; ``proves``: good tokens are accepted, so a refusal says something about the token."""
    if isinstance(answer, NoAnswer):
        return Verdict.NO_ANSWER
    if not answer.is_success and not proves:
        return Verdict.UNPROVEN
    if answer.is_success == (case.expects is Expectation.ACCEPT):
        return Verdict.OK
    if case.expects is Expectation.REFUSE:
        return Verdict.CARELESS if case.is_required else Verdict.LENIENT
    return Verdict.REFUSES_GOOD if case.is_required else Verdict.PARTICULAR


def remark(case: Case, answer: Answer | NoAnswer) -> str:
    """Return what else is to be said of an answer that is right otherwise; nothing in most cases."""
    if isinstance(answer, NoAnswer):
        return ""
    if answer.is_success:
        return (
            ""
            if answer.status in EXPECTED_SUCCESSES
            else f"Success is 200 or 204, not {answer.status}: a sender may not take it for one."
        )
    if case.expects is Expectation.REFUSE and answer.status != BAD_REQUEST:
        more = " A sender takes it for a failure that passes, and tries again." if answer.status >= SERVER_ERRORS else ""
        return f"Refused with {answer.status}; the specification wants 400.{more}"
    return ""


def way(answer: Answer | NoAnswer) -> str:
    """Return what it means that the good token got this answer."""
    if isinstance(answer, NoAnswer):
        return f"There is no answer: {answer.reason}."
    if answer.status == BAD_REQUEST:
        return REFUSED
    if answer.status in WAYS:
        location = answer.headers.get("location", "")
        return WAYS[answer.status] + (f" It leads to {_short(location)}" if location else "")
    return BROKEN if answer.status >= SERVER_ERRORS else UNKNOWN_STATUS


def says(answer: Answer | NoAnswer) -> str:
    """Return what the relying party says, on one line, short, and with nothing that a terminal obeys."""
    if isinstance(answer, NoAnswer):
        return clean(answer.reason)
    text = answer.body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and isinstance(document.get("error"), str):
        description = document.get("error_description")
        return _short(document["error"] + (f": {description}" if isinstance(description, str) else ""))
    if "html" in answer.headers.get("content-type", ""):
        text = html.unescape(_TAG.sub(" ", text))
    return _short(text)


def _short(text: str) -> str:
    """Blanks become one before other control characters are made visible, so that one line stays one."""
    words = clean(" ".join(text.split()))
    return words if len(words) <= SHOWN_AT_MOST else words[: SHOWN_AT_MOST - 1] + "…"
