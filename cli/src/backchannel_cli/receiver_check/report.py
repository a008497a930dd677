"""What came of a check."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from backchannel_cli.receiver_check.case import Case, Expectation
from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.good_cases import AGAIN, GOOD
from backchannel_cli.receiver_check.issuer import JWKS_PATH
from backchannel_cli.receiver_check.probe import LoginEnd, Probed
from backchannel_cli.receiver_check.sending import Answer, NoAnswer
from backchannel_cli.receiver_check.signature_cases import OTHER_KEYS_PATH
from backchannel_cli.receiver_check.verdicts import BUSY, FAILURES, Verdict, judge, remark, says, way

Json = dict[str, Any]


class Outcome(StrEnum):
    """What is to be said of the relying party as a whole, the worst first."""

    CARELESS = "careless"
    REFUSES_GOOD = "refuses good"
    LOGIN_DID_NOT_END = "login did not end as it should"
    UNPROVEN = "unproven"
    INCOMPLETE = "incomplete"
    UNREACHABLE = "unreachable"
    AS_IT_SHOULD_BE = "as it should be"


@dataclass(frozen=True, slots=True)
class Result:
    """One case that was sent."""

    case: Case
    answer: Answer | NoAnswer

    @property
    def status(self) -> int | None:
        return self.answer.status if isinstance(self.answer, Answer) else None

    @property
    def is_busy(self) -> bool:
        return self.status in BUSY


@dataclass(frozen=True, slots=True)
class Report:
    """``claims``: header and claims of the good token. ``fetched``: how often the relying party fetched what of the issuer."""

    relying_party: str
    issuer: str
    client_id: str
    alg: str
    claims: Mapping[str, Any]
    results: tuple[Result, ...]
    fetched: Mapping[str, int]
    login: Probed | None = None

    @property
    def good(self) -> Result | None:
        return self._result(GOOD)

    @property
    def takes_good(self) -> bool:
        return _is_accepted(self.good)

    @property
    def takes_again(self) -> bool:
        return _is_accepted(self._result(AGAIN))

    @property
    def outcome(self) -> Outcome:
        if self.good is None or self.good.status is None:
            return Outcome.UNREACHABLE
        verdicts = {self.verdict(result) for result in self.results}
        found = (
            (Outcome.CARELESS, Verdict.CARELESS in verdicts),
            (Outcome.REFUSES_GOOD, Verdict.REFUSES_GOOD in verdicts),
            (Outcome.LOGIN_DID_NOT_END, self.login is not None and self.login.end is not LoginEnd.ENDED),
            (Outcome.UNPROVEN, Verdict.UNPROVEN in verdicts),
            (Outcome.INCOMPLETE, Verdict.NO_ANSWER in verdicts or len(self.results) < len(CASES)),
        )
        return next((outcome for outcome, is_so in found if is_so), Outcome.AS_IT_SHOULD_BE)

    def verdict(self, result: Result) -> Verdict:
        before = {GOOD.name: True, AGAIN.name: self.takes_good and not result.is_busy}
        proves = self.takes_good and self.takes_again and not result.is_busy
        return judge(result.case, result.answer, proves=before.get(result.case.name, proves))

    def meaning(self, result: Result) -> str:
        """Return what an answer means; nothing if it is as it should be."""
        match self.verdict(result):
            case Verdict.UNPROVEN if result.is_busy:
                return way(result.answer)
            case Verdict.OK | Verdict.UNPROVEN:
                return remark(result.case, result.answer)
            case Verdict.NO_ANSWER:
                return way(result.answer)
            case Verdict.REFUSES_GOOD if result.case is GOOD:
                return f"{result.case.otherwise} {way(result.answer)}"
            case _:
                return result.case.otherwise

    def general(self) -> Iterator[str]:
        """Yield what no single case shows."""
        bad = [result for result in self.results if result.case.expects is Expectation.REFUSE]
        if bad and all(isinstance(result.answer, Answer) and result.answer.is_success for result in bad):
            yield "Every bad token passes: the endpoint looks at nothing, or this is a page that answers 200 to everything."
        if self.outcome is not Outcome.UNREACHABLE and not self.takes_good:
            yield "The good token is refused, so that no refusal of a bad token proves anything (`unproven`)."
            if not self.fetched.get(JWKS_PATH):
                yield (
                    f"The relying party never fetched the issuer's keys: its issuer is not {self.issuer}, it cannot reach it, "
                    "or it has keys of an earlier check."
                )
        elif self.takes_good and not self.takes_again:
            yield (
                "Good tokens for a user who is logged out already are refused. Bad tokens are about that user, so that no "
                "refusal of one proves anything (`unproven`)."
            )
        if self.takes_good and any(result.is_busy for result in self.results):
            yield "Some answers were given before anybody looked at the token, so that they prove nothing (`unproven`)."
        if self.takes_good and "no-store" not in self._header_of_good("cache-control"):
            yield "The answer to the good token has no `Cache-Control: no-store`, which Back-Channel Logout 2.8 recommends."
        if self.fetched.get(OTHER_KEYS_PATH):
            yield "The relying party fetched a key from where a token told it to (jku): anybody can make it send requests."
        if len(self.results) < len(CASES):
            yield f"{len(self.results)} of {len(CASES)} cases were sent: the relying party stopped answering."
        if self.login:
            yield f"Login: {self.login.end}."

    def _result(self, case: Case) -> Result | None:
        return next((result for result in self.results if result.case is case), None)

    def _header_of_good(self, name: str) -> str:
        answer = self.good.answer if self.good else None
        return answer.headers.get(name, "").lower() if isinstance(answer, Answer) else ""

    def document(self) -> Json:
        """Return the report as ``--json`` prints it."""
        return {
            "outcome": self.outcome.value,
            "relying_party": self.relying_party,
            "issuer": self.issuer,
            "client_id": self.client_id,
            "alg": self.alg,
            "good_token": dict(self.claims),
            "fetched": dict(self.fetched),
            "login": None if self.login is None else _login(self.login),
            "general": list(self.general()),
            "cases": [self._case(result) for result in self.results],
        }

    def _case(self, result: Result) -> Json:
        return {
            "case": result.case.name,
            "token": "good" if result.case.expects is Expectation.ACCEPT else "bad",
            "required": result.case.is_required,
            "status": result.status,
            "verdict": self.verdict(result).value,
            "meaning": self.meaning(result),
            "says": says(result.answer),
            "section": result.case.words.section,
            "words": result.case.words.text,
            "milliseconds": round(result.answer.seconds * 1000),
        }


def _is_accepted(result: Result | None) -> bool:
    return result is not None and isinstance(result.answer, Answer) and result.answer.is_success


def is_failure(verdict: str) -> bool:
    return verdict in FAILURES


def _login(login: Probed) -> Json:
    return {
        "anonymous": login.anonymous,
        "before": login.before,
        "after": login.after,
        "end": login.end.value,
    }
