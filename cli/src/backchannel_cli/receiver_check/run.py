"""The run of a check: case by case, with a look at the login around the good token."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.good_cases import GOOD
from backchannel_cli.receiver_check.issuer import Issuer
from backchannel_cli.receiver_check.probe import Probe
from backchannel_cli.receiver_check.report import Report, Result
from backchannel_cli.receiver_check.sending import NoAnswer, Sender, Target
from backchannel_cli.receiver_check.tokens import Mint

MISSES = 3
"""After so many cases in a row without an answer, no more are sent."""


@dataclass(frozen=True, slots=True)
class Check:
    """``seen`` is called with the number of cases that were sent."""

    target: Target
    mint: Mint
    issuer: Issuer
    sender: Sender
    probe: Probe | None = None
    seen: Callable[[int], None] = lambda _: None

    def run(self) -> Report:
        login = self.probe.first() if self.probe else None
        results: list[Result] = []
        for case in CASES:
            if _is_gone(results):
                break
            results.append(Result(case, self.sender.post(self.target, case.form(self.mint))))
            if case is GOOD and self.probe and login:
                login = replace(login, after=self.probe.look())
            self.seen(len(results))
        return Report(
            self.target.url,
            self.mint.issuer,
            self.mint.client_id,
            self.mint.keys.alg,
            parts(self.mint.once()),
            tuple(results),
            dict(self.issuer.fetched),
            login,
        )


def parts(token: str) -> dict[str, Any]:
    """Return what a token says, for a person to compare."""
    header, claims, _ = token.split(".")
    return {"header": _decoded(header), "claims": _decoded(claims)}


def _is_gone(results: list[Result]) -> bool:
    latest = results[-MISSES:]
    return len(latest) == MISSES and all(isinstance(result.answer, NoAnswer) for result in latest)


def _decoded(part: str) -> Any:
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
