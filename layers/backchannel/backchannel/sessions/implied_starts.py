"""Starts that nobody reported: a provider's logout token proves that its client had a session. Pure."""

from backchannel.sessions.events import Ended, RpSessionStarted, logout_id
from backchannel.sessions.rp_sessions import RpSession

SAME_END = 60_000
"""Milliseconds between the tokens by which a provider tells its clients of one end, one after another or again."""


def implied_session(client_id: str, sub: str | None, sid: str | None, end: Ended) -> RpSession:
    """Return the RP session of a client that a token of the provider's was meant for; when it began, nobody knows."""
    return RpSession(client_id, sub or "", end.ended_at, sid)


def implied_start(
    issuer: str, implied: RpSession, known: RpSession | None, end: Ended, *, is_told_by_others: bool
) -> RpSessionStarted | None:
    """Return the start that has to be stored so that the client is told of ``end``, None if it is told anyway.

    ``known`` is what is stored of the RP session. If the same logout took care of it just now, this is another token about the
    same end: one for another client, or this one again. ``is_told_by_others``: another logout just now told the client, too; that
    is not so for a client that is sent nothing but the provider's own tokens.
    """
    if known is not None:
        is_just_ended = known.ended_at is not None and known.ended_at >= implied.started_at - SAME_END
        is_by_this = known.ended_by == logout_id(issuer, end)
        if known.ended_by is None or (is_just_ended and (is_by_this or is_told_by_others)):
            return None
    who = implied if known is None else known  # the subject that was reported may not be the one that the client knows
    return RpSessionStarted(who.sub, implied.client_id, implied.started_at, implied.sid, who.client_sub)
