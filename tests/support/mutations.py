"""What happens to a webhook on its way, and what a broken or a malicious sender makes of its event."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from backchannel.webhooks.request import Request

EVENTS = Path(__file__).resolve().parents[2] / "events"

AT = 1_788_249_600_000
"""When all events are sent: milliseconds since the epoch."""

_HUGE = 10**400
_DEEP: Any = json.loads("[" * 400 + "]" * 400)
_VALUES = [
    json.dumps(value)
    for value in [
        *(None, True, False, 0, -1, 1.5, _HUGE, float("nan"), float("inf"), 1e308, 2**53 + 1),
        *("", " ", "\x00", "a\x00b", "\ud800", "\u202e", "é" * 3000, "a" * 70_000, "0", "null", "{}", "users/", "users//logout"),
        *([], {}, [[]], [None], {"": ""}, {"id": {"id": {}}}, _DEEP),
        *(
            "2026-09-01T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "9999-12-31T23:59:59+14:00",
            "0001-01-01T00:00:00+00:00",
            1_788_249_600_123,
        ),
    ]
]
_OCTETS = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"\\ud800",
    b"{",
    b"]",
    b",",
    b"1e999",
    b"-",
    b"NaN",
    b"\xef\xbb\xbf",
    b"&",
    b"%00",
]
_TEXTS = [
    "",
    " ",
    ",",
    "\x00",
    "\ud800",
    "ÿ",
    "v1,",
    "v1a,",
    "v1=",
    "Bearer",
    "Bearer ",
    "=",
    "0" * 300,
    "1e9",
    "-1",
    "application/json",
]


def altered(request: Request, random: Random) -> Request:
    """Return the request with some octets of its body, or one of its headers, changed."""
    if request.headers and random.random() < 0.4:
        name = random.choice(sorted(request.headers))
        return replace(request, headers={**request.headers, name: _altered_text(request.headers[name], random)})
    return replace(request, body=_altered_octets(request.body, random))


def garbled(event: dict[str, Any], random: Random) -> dict[str, Any]:
    """Return the event with some of its members removed, replaced, or moved."""
    copy: dict[str, Any] = json.loads(json.dumps(event))
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        places = list(_places(copy))
        if not places:
            break
        holder, name = random.choice(places)
        match random.randrange(4):
            case 0:
                del holder[name]
            case 1:
                other, its_name = random.choice(places)
                holder[name] = json.loads(json.dumps(other[its_name]))
            case _:
                holder[name] = json.loads(random.choice(_VALUES))
    return copy


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where the members of a document are, down to some depth."""
    waiting = [(value, 0)]
    while waiting:
        holder, depth = waiting.pop()
        names = list(holder) if isinstance(holder, dict) else range(len(holder))
        for name in names:
            yield holder, name
            if isinstance(holder[name], dict | list) and depth < 6:
                waiting.append((holder[name], depth + 1))


def _altered_octets(octets: bytes, random: Random) -> bytes:
    at = random.randrange(len(octets) + 1)
    end = min(len(octets), at + random.choice([0, 1, 1, 4, 40]))
    put = random.choice([b"", random.randbytes(1), random.choice(_OCTETS), octets[at:end] * 2])
    return octets[:at] + put + octets[end:]


def _altered_text(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return random.choice([random.choice(_TEXTS), text[:at] + random.choice(_TEXTS) + text[at + 1 :], text[:at]])
