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


def address(
    client: Client, reason: Reason | None, newer: Newer, *, has_sid: bool, has_older_without_sid: bool
) -> Named | ReplaceBySid | Outcome:
    """Say what a delivery's token names, or what becomes of the delivery without one.

    ``has_sid``: the delivery is about one session, whose ``sid`` is known. ``has_older_without_sid``: it is about all of the
    subject's, and of the older ones at least one can be told by ``sub`` only.
    """
    if client.needs_sid and not has_sid:
        return UNADDRESSABLE
    takes_sid = client.subject != "sub_only"
    is_unconditional = is_emergency(reason)
    if has_sid and takes_sid:
        if newer is Newer.SAME_SESSION and not is_unconditional:
            return SUPERSEDED
        return Named.SID if newer is not Newer.NOWHERE or client.subject == "sid_only" else Named.SUB_AND_SID
    if newer is Newer.NOWHERE:
        return Named.SUB
    if takes_sid and not (is_unconditional and has_older_without_sid):
        return ReplaceBySid()
    return Named.SUB if is_unconditional else SUPERSEDED
