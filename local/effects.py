"""`python -m local.effects`: writes docs/providers/effects.md, what each sample of each format causes, by the code itself."""

import json
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
    "okta-eventhook-user.*": ("okta",),
    "okta-eventhook-policy.*": ("okta",),
    "okta-universal-logout*": ("okta-universal-logout",),
    "auth0-logstream-*": ("auth0",),
    "zitadel-*": ("zitadel",),
    "workos-*": ("workos",),
    "clerk-*": ("clerk",),
    "logto-*": ("logto",),
    "fusionauth-*": ("fusionauth",),
    "hanko-*": ("hanko",),
    "pingone-*": ("pingone",),
    "set-caep-*": ("security-event-token",),
    "set-risc-*": ("security-event-token",),
    "set-ssf-*": ("security-event-token",),
    "set-inferred-*": ("security-event-token",),
    "authentik-set-*": ("security-event-token",),
    "okta-set-*": ("security-event-token",),
}
"""The samples in events/, and the formats that senders send them in."""

ISSUERS = {"acme": "https://acme.eu.auth0.com/"}
"""Of tenants, whose logs name the host alone."""

_TYPES = ("type", "eventType", "event_type", "evt", "event", "action")

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
            document = _event(json.loads(path.read_text()))
            parsed = [FORMATS[name].parse(*_given(document)) for name in formats]
            if any(other != parsed[0] for other in parsed):
                raise ValueError(f"{path.name} does not mean the same in all of its formats")
            by_default = frozenset[str].intersection(*(FORMATS[name].ends_sessions for name in formats))
            named = ", ".join(f"`{name}`" for name in formats)
            yield named, f"`{_type(document)}`", path.stem, *_effect(parsed[0], by_default)


def render() -> str:
    """Return the document."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows())


def _event(sample: Any) -> dict[str, Any]:
    """Return what a format reads as one event: out of a batch, a token's claims, or a request with its token and its body."""
    if isinstance(sample, list):
        (sample,) = sample
    if "jwt_payload" in sample:
        return {**sample["jwt_payload"], **({"sub_id": sample["body"]["sub_id"]} if "sub_id" in sample["body"] else {})}
    if "eventType" in sample:
        (sample,) = sample["data"]["events"]
    event: dict[str, Any] = sample.get("claims", sample)
    return event


def _type(document: dict[str, Any]) -> str:
    """Return the type of an event, wherever its sender writes it; a SET names it by a URI."""
    named = document.get("sub_id") or document.get("data") or {}
    if isinstance(document.get("events"), dict):
        return str(next(iter(document["events"]))).rpartition("/")[2]
    found = next((document[name] for name in _TYPES if name in document), named.get("type") or named.get("format"))
    return str(found["type"] if isinstance(found, dict) else found)


def _given(document: dict[str, Any]) -> tuple[Proven, Context]:
    event_id = document.get("id", document.get("jti", "sample"))
    data = document.get("data") or {}
    issuer = document.get("iss") or data.get("iss") or ISSUERS.get(str(data.get("tenant_name")), "https://idp.example")
    return Proven(json.dumps(document).encode(), event_id), Context(issuer, "claim", NOW, email_is_sub=True)


def _effect(parsed: Parsed, by_default: frozenset[str]) -> tuple[str, str, str]:
    if parsed.unmappable:
        return "nothing; it names nobody, and is counted as unmappable", "", ""
    if not parsed.events:
        return "nothing; it is counted as ignored", "", ""
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
