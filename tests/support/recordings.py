"""Recorded sessions at a terminal: what changes from run to run is masked, and compared with what is committed."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.support.acme import masked_name
from tests.support.terminal import BAR, LATER

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "recordings"
MADE = ROOT / ".local" / "recordings"

TIME = "2026-11-27 06:00:00Z"
SECONDS = 1_795_759_200
"""The same, as claims have it."""

_TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z")
_LOGOUT = re.compile(r"\b[0-9a-f]{40}\b")
_UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_MADE_UP = re.compile(r"(?<=backchannel-test-)[0-9a-f]{32}|(?<=receiver-check-)[0-9a-f]{8}\b")
_KID = re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])")
_SECONDS = re.compile(r"\b1[78]\d{8}\b")
_PORT = re.compile(r"(127\.0\.0\.1):\d{5}\b")
_BAR = re.compile(rf"^.*{BAR}.*\n", re.MULTILINE)
_REPEATED = re.compile(r"^.*; trying again in [0-9.]+ s\.\n", re.MULTILINE)
_VARIES = (
    (re.compile(r"\d+ ms"), "0 ms"),
    (re.compile(r"^milliseconds .*", re.MULTILINE), "milliseconds"),
    (re.compile(r"fetched \d+ x, keys \d+ x"), "fetched 1 x, keys 1 x"),
    (re.compile(r" +"), " "),
    (re.compile(r" $", re.MULTILINE), ""),
)


def masked(text: str) -> str:
    """Return a transcript with the same times and ids in each run, as wide as they were."""
    for pattern in (_LOGOUT, _UUID, _MADE_UP):
        text = _numbered(pattern, text)
    text = _numbered(_KID, text, r"[\w-]")
    first = min(map(int, _SECONDS.findall(text)), default=0)
    text = _SECONDS.sub(lambda found: str(SECONDS + int(found[0]) - first), text)
    text = _TIMES.sub(lambda found: TIME if " " in found[0] else TIME.replace(" ", "T"), text)
    return masked_name(_REPEATED.sub("", _PORT.sub(r"\1:50000", text)))


def comparable(text: str) -> str:
    """Return what of a masked transcript has to be the same each time: no bars, no order of lines with a time."""
    text = _BAR.sub("", text).replace(f"{LATER}\n", "")
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    lines, run = list[str](), list[str]()
    for line in text.splitlines():
        if TIME in line:
            run.append(line)
            continue
        lines += [*sorted(run), line]
        run = []
    return "\n".join([*lines, *sorted(run)])


def compare(name: str, transcript: list[str], also: Callable[[str], str] = lambda text: text) -> None:
    """Leave the recording in .local, and compare it with the committed one; ``also`` masks more for that.

    Raises:
        AssertionError: they differ.

    """
    made = masked("\n".join(transcript) + "\n")
    MADE.mkdir(parents=True, exist_ok=True)
    (MADE / name).write_text(made)
    committed = COMMITTED / name
    assert committed.exists(), f"look at {MADE / name}, and copy it to {COMMITTED}"
    assert also(comparable(made)) == also(comparable(committed.read_text())), f"compare {MADE / name} with {committed}"


def _numbered(pattern: re.Pattern[str], text: str, characters: str = r"[0-9a-f]") -> str:
    """Return the text with 1111… instead of the first id, 2222… instead of the second."""
    known: dict[str, str] = {}
    for found in pattern.finditer(text):
        known.setdefault(found[0], re.sub(characters, str((len(known) + 1) % 10), found[0]))
    return pattern.sub(lambda found: known[found[0]], text)
