"""Whom a token names: ``sub``, ``sid`` or both, and when it must not be sent at all. Pure; docs/sessions.md has the table.

A token with ``sub`` ends all of the user's sessions at the client: some RPs look at ``sub`` alone, even beside ``sid``. A token
with ``sid`` ends that session alone. So an old token must name as little as it can while the user has a newer login there.
"""

from dataclasses import dataclass
from enum import StrEnum

from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.providers.clients import Client
from backchannel.reasons import Reason, is_emergency


class Newer(StrEnum):
    """Where the subject has a newer login at the client than the one that a delivery is about."""

    NOWHERE = "nowhere"
    ELSEWHERE = "elsewhere"
    SAME_SESSION = "same_session"


class Named(StrEnum):
    """What a token names."""

    SUB_AND_SID = "sub and sid"
    SUB = "sub"
    SID = "sid"


@dataclass(frozen=True, slots=True)
class ReplaceBySid:
    """Instead of one token for all of the subject's sessions, one by ``sid`` for each older session."""


SUPERSEDED = Outcome(Status.SUPERSEDED, "newer_session")
UNADDRESSABLE = Outcome(Status.UNADDRESSABLE, "sid_unknown")
SUB_UNKNOWN = Outcome(Status.UNADDRESSABLE, "sub_unknown")


def address(
    client: Client, reason: Reason | None, newer: Newer, *, has_sid: bool, has_older_without_sid: bool, has_sub: bool = True
) -> Named | ReplaceBySid | Outcome:
    """Say what a delivery's token names, or what becomes of the delivery without one.

    ``has_sid``: the delivery is about one session, whose ``sid`` is known. ``has_older_without_sid``: it is about all of the
    subject's, and of the older ones at least one can be told by ``sub`` only. ``has_sub``: the subject is known, too.
    """
    takes_sid = client.subject != "sub_only"
    if (client.needs_sid and not has_sid) or not (has_sub or takes_sid):
        return UNADDRESSABLE if has_sub else SUB_UNKNOWN
    is_unconditional = is_emergency(reason)
    if has_sid and takes_sid:
        if newer is Newer.SAME_SESSION and not is_unconditional:
            return SUPERSEDED
        is_sid_enough = newer is not Newer.NOWHERE or client.subject == "sid_only" or not has_sub
        return Named.SID if is_sid_enough else Named.SUB_AND_SID
    if newer is Newer.NOWHERE:
        return Named.SUB
    if takes_sid and not (is_unconditional and has_older_without_sid):
        return ReplaceBySid()
    return Named.SUB if is_unconditional else SUPERSEDED
