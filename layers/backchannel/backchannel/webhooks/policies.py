"""What a source's ``ends_sessions`` chooses: which ends end sessions."""

from collections.abc import Collection
from dataclasses import replace

from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, RpSessionStarted
from backchannel.webhooks.request import Parsed


def policy_of(event: Ended) -> str:
    """Return the word of ``ends_sessions`` that an end goes by."""
    return event.cause or event.reason or Reason.LOGOUT


def chosen(parsed: Parsed, ends_sessions: Collection[str]) -> Parsed:
    """Return what is left of a webhook's events: all starts, and the ends that are chosen. The others count as ignored."""
    events, not_chosen = [], []
    for event in parsed.events:
        if isinstance(event, RpSessionStarted) or (policy := policy_of(event)) in ends_sessions:
            events.append(event)
        else:
            not_chosen.append(str(policy))
    return replace(parsed, events=tuple(events), ignored=parsed.ignored + len(not_chosen), not_chosen=tuple(not_chosen))
