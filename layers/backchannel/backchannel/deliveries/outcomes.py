"""What the result of an attempt means, and when the next attempt is made. Times are in milliseconds.

A 200 says that the RP accepted the token, not that anybody is logged out: hence ``accepted``.
"""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from random import Random

from backchannel.errors import RelyingPartyFault
from backchannel.providers.clients import DEADLINE


class Status(StrEnum):
    """Where a delivery stands. All but the first two are final."""

    QUEUED = "queued"
    RETRYING = "retrying"
    ACCEPTED = "accepted"
    REJECTED = "rejected"  # the RP answered, and the answer will not change
    BLOCKED = "blocked"  # nothing was sent until the deadline: forbidden address, no valid certificate
    UNDELIVERABLE = "undeliverable"  # tried until the deadline, or there is no such client
    SUPERSEDED = "superseded"  # a newer login at this RP must not be ended by this old event
    SUPPRESSED = "suppressed"  # the client takes no logout tokens, or none for this reason
    UNADDRESSABLE = "unaddressable"  # the RP needs a sid that nobody knows


PENDING = frozenset({Status.QUEUED, Status.RETRYING})

RETRY_SCHEDULE = tuple(seconds * 1000 for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800))
"""Delays between attempts, each give or take JITTER; together just under a day. With a later deadline, the last is repeated."""

SHORT_SCHEDULE = tuple(seconds * 1000 for seconds in (5, 10, 20, 40))
"""The same for a token that is passed on and lives for minutes: attempts after 0, 5, 15, 35 and 75 seconds, and at its end."""

SHORT_LIFE = 600_000
"""What is left of a token's life, at the most, where SHORT_SCHEDULE is the better one."""

JITTER = 0.2
RETRY_AFTER_MAX = 3_600_000
SECOND_CHANCE = 60_000
"""The delay before the one more attempt after a 400: RPs also answer 400 when they could not fetch a new key."""

_LAST_ATTEMPT_BEFORE_DEADLINE = 60_000
"""Nearer to the deadline than this, there is no further attempt."""

_LAST_ATTEMPT_OF_TOKEN = 3_000
"""The same where the deadline is the last attempt of a token that is passed on."""


class Kind(StrEnum):
    """What a result says about trying again."""

    ACCEPTED = "accepted"
    SECOND_CHANCE = "second_chance"
    RETRIABLE = "retriable"
    BLOCKED = "blocked"
    TERMINAL = "terminal"


STATUS_CODES: Mapping[int, Kind] = {
    200: Kind.ACCEPTED,  # section 2.8: the logout succeeded
    204: Kind.ACCEPTED,  # section 2.8: some frameworks substitute it
    400: Kind.SECOND_CHANCE,  # section 2.8: invalid request, or the logout failed
    408: Kind.RETRIABLE,  # RFC 9110, section 15.5.9: the client may repeat the request
    425: Kind.RETRIABLE,  # RFC 8470, section 5.2: retry without early data
    429: Kind.RETRIABLE,  # RFC 6585, section 4
}
CLASSES: Mapping[int, Kind] = {
    2: Kind.ACCEPTED,  # not what section 2.8 asks for, but a success
    3: Kind.TERMINAL,  # a redirect would send the token elsewhere (RFC 9110, section 15.4)
    4: Kind.TERMINAL,  # RFC 9110, section 15.5: the request is at fault
    5: Kind.RETRIABLE,  # RFC 9110, section 15.6: the server is
}

type Result = int | RelyingPartyFault
"""What came of a POST: the status code, or the fault that prevented an answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where an attempt leaves its delivery; ``delay`` until the next attempt, None if there is none.

    ``cursor`` tells the next attempt where to go on, if one attempt could not do everything. ``detail`` is what the operator is
    told beside the code, if no attempt was made.
    """

    status: Status
    code: str
    delay: int | None = None
    cursor: str | None = None
    detail: str | None = None


def decide(
    result: Result,
    *,
    attempts: int,
    last_status_code: int | None,
    age: int,
    deadline: int,
    retry_after: int | None,
    rng: Random,
    is_tokens_end: bool = False,
) -> Outcome:
    """Turn an attempt's result into the delivery's outcome.

    ``attempts`` counts this one; ``last_status_code`` is the answer before it. ``age`` is the delivery's, ``deadline`` the
    age at which it is given up, ``retry_after`` the delay that the RP asked for. ``is_tokens_end``: the deadline is that of a
    token which is passed on.
    """
    schedule = SHORT_SCHEDULE if is_tokens_end and deadline <= SHORT_LIFE else RETRY_SCHEDULE
    kind, its_code = _kind(result), code(result)
    if kind is Kind.ACCEPTED:
        return Outcome(Status.ACCEPTED, its_code)
    if kind is Kind.TERMINAL or (kind is Kind.SECOND_CHANCE and last_status_code == result):
        return Outcome(Status.REJECTED, its_code)
    remaining = deadline - age
    is_over = schedule is RETRY_SCHEDULE and attempts > len(RETRY_SCHEDULE) and deadline <= DEADLINE * 1000
    if is_over or remaining < (_LAST_ATTEMPT_OF_TOKEN if is_tokens_end else _LAST_ATTEMPT_BEFORE_DEADLINE):
        return Outcome(Status.BLOCKED if kind is Kind.BLOCKED else Status.UNDELIVERABLE, its_code)
    nominal = SECOND_CHANCE if kind is Kind.SECOND_CHANCE else schedule[min(attempts, len(schedule)) - 1]
    wanted = max(nominal * rng.uniform(1 - JITTER, 1 + JITTER), min(retry_after or 0, RETRY_AFTER_MAX))
    return Outcome(Status.RETRYING, its_code, round(min(wanted, remaining)))


def code(result: Result) -> str:
    """Return the stable code of a result."""
    return f"http_{result}" if isinstance(result, int) else result.code


def may_pass(result: Result) -> bool:
    """Whether the RP is in trouble that may pass: what circuits count. A 400 is an answer, and a wrong certificate no outage."""
    return _kind(result) is Kind.RETRIABLE


def parse_retry_after(value: str | None, now: int) -> int | None:
    """Return the delay that ``Retry-After`` asks for (RFC 9110, section 10.2.3), None for garbage."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,300}", value.strip()):  # a number too large is no garbage (RFC 9111, section 1.2.2)
        return int(value.strip()) * 1000
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # OverflowError: a year or an hour of a dozen digits
        return None
    return max(0, round(date.replace(tzinfo=date.tzinfo or UTC).timestamp() * 1000) - now)


def _kind(result: Result) -> Kind:
    if isinstance(result, int):
        return STATUS_CODES.get(result) or CLASSES.get(result // 100, Kind.TERMINAL)
    return Kind.BLOCKED if result.nothing_sent else Kind.RETRIABLE
