"""Session events that travel through SourceEventsQueue: those of a large batch, proven, read and chosen."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from backchannel.aws.sqs import Outgoing
from backchannel.errors import MessageNotUnderstood
from backchannel.reasons import CAUSES, Reason
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SessionEvent, SubjectSessionsEnded, kind_of

MAX_EVENTS = 100
"""Events of one message: they are stored one after the other, and all again if one of them could not be stored."""

MAX_OCTETS = 65_536
"""Octets of the events of one message, unless it has but one."""


@dataclass(frozen=True, slots=True)
class HandedOn:
    """Events of a source; ``issuer`` is the provider's at the time, since a provider's name can be used again."""

    provider: str
    issuer: str
    source: str
    events: tuple[SessionEvent, ...]

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        """Read a message.

        Raises:
            MessageNotUnderstood: no version of this service wrote it.

        """
        try:
            provider, issuer, source = (members[name] for name in ("provider", "issuer", "source"))
            events = tuple(map(_event, members["events"]))
        except (KeyError, TypeError, ValueError) as error:
            raise MessageNotUnderstood("not the events of a batch") from error
        if not all(isinstance(name, str) for name in (provider, issuer, source)):
            raise MessageNotUnderstood("not the events of a batch")
        return cls(provider, issuer, source, events)


def messages(provider: str, issuer: str, source: str, events: Iterable[SessionEvent]) -> Iterator[Outgoing]:
    """Yield the messages that carry events, few enough in each to be stored at once."""
    head = {"provider": provider, "issuer": issuer, "source": source}
    for part in _parts(map(_written, events)):
        yield Outgoing(f'{json.dumps(head)[:-1]}, "events": [{",".join(part)}]}}', (provider,))


def _parts(written: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    octets = 0
    for each in written:
        if part and (len(part) == MAX_EVENTS or octets + len(each) > MAX_OCTETS):
            yield part
            part, octets = [], 0
        part.append(each)
        octets += len(each)  # of ASCII alone
    if part:
        yield part


def _written(event: SessionEvent) -> str:
    members = {name: value for name, value in asdict(event).items() if value is not None}
    return json.dumps({"kind": kind_of(event), **members}, separators=(",", ":"))


_KINDS: Mapping[str, type[SessionEvent]] = {
    "rp_session_started": RpSessionStarted,
    "session_ended": SessionEnded,
    "subject_sessions_ended": SubjectSessionsEnded,
}
_INTEGERS = frozenset({"started_at", "ended_at", "expires_at"})


def _event(members: Mapping[str, Any]) -> SessionEvent:
    """Read an event.

    Raises:
        KeyError: of its kind, or a reason, there is none.
        TypeError: a member is missing, is not one of the kind's, or is of another type.
        ValueError: there is no such reason.

    """
    given = dict(members)
    kind = _KINDS[given.pop("kind")]
    known = {field.name for field in fields(kind)}
    for name, value in given.items():
        wanted = int if name in _INTEGERS else bool if name == "untimed" else str
        if name not in known or type(value) is not wanted:
            raise TypeError(name)
    if "reason" in given:
        given["reason"] = Reason(given["reason"])
    if given.get("cause", CAUSES[0]) not in CAUSES:
        raise ValueError("cause")
    return kind(**given)
