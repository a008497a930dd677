"""`python -m local.effects`: writes docs/providers/effects.md, what each sample of each format causes, by the code itself."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backchannel.sessions.events import RpSessionStarted, SessionEnded, SessionEvent
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.policies import policy_of
from backchannel.webhooks.request import Context, Parsed, Proven

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "providers" / "effects.md"

type Json = dict[str, Any]


def _as_it_is(sample: Any) -> Json:
    event: Json = sample[0] if isinstance(sample, list) else sample
    return event


def _claims(sample: Any) -> Json:
    event: Json = sample.get("claims", sample.get("jwt_payload", sample))
    return event


@dataclass(frozen=True)
class Samples:
    """Samples in events/, and the formats that senders send them in.

    ``event`` takes what a format reads as one event out of a sample, ``kind`` says what its sender calls it, ``issuer`` whose it
    is. ``email_is_sub`` as the source has it.
    """

    pattern: str
    formats: tuple[str, ...]
    event: Callable[[Any], Json] = _as_it_is
    kind: Callable[[Json], str] = lambda event: event["type"]
    issuer: Callable[[Json], str] = lambda _: "https://idp.example"
    email_is_sub: bool = False


def _issuer_claim(event: Json) -> str:
    issuer: str = event["iss"]
    return issuer


def _type_of_set(claims: Json) -> str:
    uri: str = next(iter(claims["events"]))
    return uri.rpartition("/")[2]


def _user_pool(event: Json) -> str:
    named = re.search(r"eu-central-1_[A-Za-z0-9]+", json.dumps(event))
    return f"https://cognito-idp.eu-central-1.amazonaws.com/{named[0] if named else 'eu-central-1_AbCdEfGhI'}"


def _generic_issuer(event: Json) -> str:
    issuer: str = event.get("iss") or (event.get("data") or {}).get("iss") or "https://idp.example"
    return issuer


_TENANT = "https://acme.eu.auth0.com/"

SAMPLES = (
    Samples("standardwebhooks-generic-*", ("standard-webhooks", "bearer", "signed-jwt"), _claims, issuer=_generic_issuer),
    Samples("authentik-mapping-*", ("standard-webhooks", "signed-jwt"), _claims, issuer=_generic_issuer),
    Samples("pingam-*", ("bearer",), issuer=_generic_issuer),
    Samples("keycloak-*", ("keycloak", "keycloak-jwt")),
    Samples("okta-eventhook-[up]*.*", ("okta",), lambda hook: hook["data"]["events"][0], lambda event: event["eventType"]),
    Samples(
        "okta-universal-logout*",
        ("okta-universal-logout",),
        lambda sample: {**sample["jwt_payload"], **sample["body"]},
        lambda event: event["sub_id"]["format"],
        _issuer_claim,
        email_is_sub=True,
    ),
    Samples("auth0-logstream-*", ("auth0",), kind=lambda log: log["data"]["type"], issuer=lambda _: _TENANT),
    Samples(
        "auth0-eventbridge-*",
        ("auth0-eventbridge",),
        kind=lambda event: event["detail"]["data"]["type"],
        issuer=lambda _: _TENANT,
    ),
    Samples("cognito-eventbridge-*", ("cognito",), kind=lambda event: event["detail"]["eventName"], issuer=_user_pool),
    Samples("cognito-lambda-*", ("cognito",), kind=lambda event: event["triggerSource"], issuer=_user_pool),
    Samples("zitadel-*", ("zitadel",), kind=lambda event: event["event_type"]),
    Samples("workos-*", ("workos",), kind=lambda event: event["event"]),
    Samples("clerk-*", ("clerk",)),
    Samples("logto-*", ("logto",), kind=lambda event: event["event"]),
    Samples("fusionauth-*", ("fusionauth",), kind=lambda event: event["event"]["type"]),
    Samples("hanko-*", ("hanko",), _claims, kind=lambda event: event["evt"]),
    Samples("pingone-*", ("pingone",), kind=lambda event: event["action"]["type"]),
    *(
        Samples(pattern, ("security-event-token",), _claims, _type_of_set, _issuer_claim)
        for pattern in ("set-caep-*", "set-risc-*", "set-ssf-*", "set-inferred-*", "authentik-set-*", "okta-set-*")
    ),
)

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
    for each in SAMPLES:
        for path in sorted((ROOT / "events").glob(f"{each.pattern}.json")):
            event = each.event(json.loads(path.read_text()))
            proven = Proven(json.dumps(event).encode(), event.get("id", event.get("jti", "sample")))
            context = Context(each.issuer(event), "claim", NOW, email_is_sub=each.email_is_sub)
            parsed = [FORMATS[name].parse(proven, context) for name in each.formats]
            if any(other != parsed[0] for other in parsed):
                raise ValueError(f"{path.name} does not mean the same in all of its formats")
            by_default = frozenset[str].intersection(*(FORMATS[name].ends_sessions for name in each.formats))
            named = ", ".join(f"`{name}`" for name in each.formats)
            yield named, f"`{each.kind(event)}`", path.stem, *_effect(parsed[0], by_default)


def render() -> str:
    """Return the document."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows())


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
