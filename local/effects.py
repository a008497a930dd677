"""`python -m local.effects`: writes docs/providers/effects.md, what each sample of each format causes, by the code itself."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backchannel.sessions.events import RpSessionStarted, SessionEnded, SessionEvent
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.policies import policy_of
from backchannel.webhooks.request import Context, Parsed, Proven

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "providers" / "effects.md"

SAMPLES = {
    "standardwebhooks-generic-*": ("standard-webhooks", "bearer", "signed-jwt"),
    "authentik-mapping-*": ("standard-webhooks", "signed-jwt"),
    "pingam-*": ("bearer",),
    "keycloak-*": ("keycloak", "keycloak-jwt"),
    "cognito-eventbridge-*": ("cognito",),
    "cognito-lambda-*": ("cognito",),
}
"""The samples in events/, and the formats that senders send them in."""

NOW = 1_900_000_000_000
"""Later than any sample."""

HEAD = """# What each event causes

`make effects` writes this file: it reads each sample of `events/` with the code of its format.

An end ends sessions if the source's [`ends_sessions`](../sessions.md#which-ends-end-sessions) has its word; otherwise it is
ignored and counted. By default it has all of these words but those marked with "off".

| format | event | sample | causes | reason | `ends_sessions` |
|---|---|---|---|---|---|
"""


def rows() -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield formats, type, sample, effect, reason and policy."""
    for pattern, formats in SAMPLES.items():
        for path in sorted((ROOT / "events").glob(f"{pattern}.json")):
            document: dict[str, Any] = json.loads(path.read_text())
            document = document.get("claims", document)
            parsed = [FORMATS[name].parse(*_given(document)) for name in formats]
            if any(other != parsed[0] for other in parsed):
                raise ValueError(f"{path.name} does not mean the same in all of its formats")
            by_default = frozenset[str].intersection(*(FORMATS[name].ends_sessions for name in formats))
            named = ", ".join(f"`{name}`" for name in formats)
            yield named, f"`{_type(document)}`", path.stem, *_effect(parsed[0], by_default)


def render() -> str:
    """Return the document."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows())


def _type(document: dict[str, Any]) -> str:
    """Return what an event calls itself."""
    found: str = document.get("type") or document.get("triggerSource") or document["detail"]["eventName"]
    return found


def _issuer(document: dict[str, Any]) -> str:
    """Return the issuer of the provider that a sample is of."""
    if "triggerSource" in document or "detail" in document:
        pools = re.search(r"eu-central-1_[A-Za-z0-9]+", json.dumps(document))
        return f"https://cognito-idp.eu-central-1.amazonaws.com/{pools[0] if pools else 'eu-central-1_AbCdEfGhI'}"
    return document.get("iss") or document.get("data", {}).get("iss") or "https://idp.example"


def _given(document: dict[str, Any]) -> tuple[Proven, Context]:
    event_id = document.get("id", document.get("jti", "sample"))
    return Proven(json.dumps(document).encode(), event_id), Context(_issuer(document), "claim", NOW)


def _effect(parsed: Parsed, by_default: frozenset[str]) -> tuple[str, str, str]:
    if not parsed.events:
        return f"nothing; it is counted as {'unmappable' if parsed.unmappable else 'ignored'}", "", ""
    (event,) = parsed.events
    if isinstance(event, RpSessionStarted):
        return _told(event), "", ""
    policy = policy_of(event)
    shown = f"`{policy}`" if policy in by_default else f"`{policy}` (off)"
    return _told(event), "" if event.reason is None else f"`{event.reason}`", shown


def _told(event: SessionEvent) -> str:
    if isinstance(event, RpSessionStarted):
        return "an RP session started"
    where = "" if event.client_id is None else " at one client"
    return f"a session ended{where}" if isinstance(event, SessionEnded) else f"all sessions of a user ended{where}"


if __name__ == "__main__":
    DOCUMENT.write_text(render())
