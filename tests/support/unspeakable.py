"""Values that no log may contain. Whatever makes one for a test notes it here; test_logs looks for all of them at the end.

A suite's tests run in more than one process. Each leaves its values to test_logs, which runs last on each local stack.
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

LEFT = Path(".local") / "noted"
NOTED: set[str] = set()


@dataclass(frozen=True, slots=True)
class Noted:
    """What tests noted since ``began`` (seconds since the epoch)."""

    began: float
    values: set[str]


def leave(began: float) -> None:
    """Leave this process's values to the process in which test_logs runs."""
    LEFT.mkdir(parents=True, exist_ok=True)
    draft = LEFT / f"{os.getpid()}.draft"
    draft.write_text(json.dumps({"began": began, "values": sorted(NOTED)}))
    draft.replace(draft.with_suffix(".json"))


def noted(began: float) -> Noted:
    """Return what this process has noted since it began, and what others have left; `make` clears that before a run."""
    left = [json.loads(path.read_text()) for path in LEFT.glob("*.json")]
    return Noted(min([began, *(each["began"] for each in left)]), NOTED.union(*(each["values"] for each in left)))


def note(value: str) -> str:
    NOTED.add(value)
    return value


def new_id(kind: str) -> str:
    """Return a ``sub`` or ``sid`` that nothing else looks like."""
    return note(f"{kind}-{secrets.token_hex(12)}")
