"""Holds what a page shows against what really came: the same members, and the same values but for ids, times and measurements."""

import re
from dataclasses import dataclass, field
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)|\d{4}-\d\d-\d\d")
ID = re.compile(r"(backchannel-test-)?[0-9a-f]{32,40}|[\w-]{43,}|arn:aws:[\w:/.-]+")
MEASURED = re.compile(r"\w*(_ms|milliseconds|seconds|share|segments)|iat|exp|prepare|sign|resolve|connect|tls|send|answer")


@dataclass
class Comparison:
    """What is ``called`` otherwise here than on the page; ids are learned when they are met first."""

    called: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Return a text of the page with the names of this place."""
        for there, here in sorted(self.called.items(), key=lambda names: -len(names[0])):
            text = re.sub(rf"(?<![\w-]){re.escape(there)}(?![\w-])", here, text)
        return text

    def compare(self, shown: Any, real: Any, name: str = "") -> None:
        """Assert that a page shows what came."""
        match shown, real:
            case dict(), dict():
                assert list(shown) == list(real), name
                for member, value in shown.items():
                    self.compare(value, real[member], member)
            case list(), list():
                assert len(shown) == len(real), (name, real)
                for each, other in zip(shown, real, strict=True):
                    self.compare(each, other, name)
            case str(), str() if ID.fullmatch(shown):
                assert self.called.setdefault(shown, real) == real, name
            case str(), str() if TIME.fullmatch(shown):
                assert TIME.fullmatch(real), (name, real)
            case int() | float(), int() | float() if MEASURED.fullmatch(name):
                assert (shown > 0) <= (real >= 0), name
            case str(), str():
                assert self.here(shown) == real, (name, shown, real)
            case _:
                assert shown == real, (name, shown, real)
